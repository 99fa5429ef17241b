/** What `doctor` says of an environment, and its exit code. */
import { openContext } from '../../src/app/context.ts';
import { doctorCommand } from '../../src/cli/commands/doctor.ts';
import { readConfig } from '../../src/config/config.ts';
import { createLog } from '../../src/log.ts';

export interface Examined {
  readonly code: number;
  readonly text: string;
  /** The subjects that failed, in order. */
  readonly failed: readonly string[];
}

export async function examined(
  environment: Readonly<Record<string, string>>,
  front?: string,
): Promise<Examined> {
  const config = readConfig(environment, ['read', 'site']);
  const context = openContext({ config, log: createLog('silent'), environment });
  const lines: string[] = [];
  const line = (text: string): void => void lines.push(text);
  const output = { terminal: false, columns: 80, json: false, line, script: line, notice: line };
  try {
    const code = await doctorCommand(context, { front }, { output, signal: new AbortController().signal });
    const text = lines.join('\n');
    return {
      code,
      text,
      failed: [...text.matchAll(/^\[FAIL\] ([^:]+):/gm)].map(([, subject = '']) => subject),
    };
  } finally {
    await context.close();
  }
}
