/** What `--help` adds to the list of commands: examples, exit codes and every setting, read from the settings table. */
import type { Setting } from '../config/setting.ts';
import { settings } from '../config/settings.ts';

export const examples = `Examples:
  datastore-dumper demo                                try it, with nothing installed
  datastore-dumper doctor                              is everything set up, and what is missing?
  datastore-dumper serve                               the service
  datastore-dumper publish 2f0a…-resource-id           one table, now, with progress
  datastore-dumper publish --all --rate 60             everything, one table a second at most
  datastore-dumper status --json | jq 'select(.state=="failed")'
  datastore-dumper verify                              read all blobs again, compare checksums
  datastore-dumper install-triggers --print | less     the SQL, before it is run

Exit codes: 0 done, 1 failed, 64 wrong usage, 78 wrong configuration.`;

/** Every setting with its default and meaning, wrapped to `columns`. */
export function settingsHelp(columns: number): string {
  const lines = Object.entries<Setting>(settings).flatMap(([name, setting]) => [
    `  ${name}${setting.default === null ? '' : ` (default: ${setting.default})`}`,
    ...wrap(setting.meaning.replaceAll('`', ''), Math.max(40, columns - 6)).map((line) => `      ${line}`),
  ]);
  return ['Settings (environment variables):', ...lines].join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
