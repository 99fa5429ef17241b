/**
 * The name of the file that a dump is saved as: CKAN's own, or the template of `DUMPER_FILENAME` over `{name}` (as asked:
 * alias or id), `{id}`, `{date}` (UTC, `2026-11-21`) and `{ext}`. What a file system cannot hold becomes `_`.
 */
import type { CkanProfile } from '../ckan-profile.ts';
import type { ResourceId } from '../table.ts';
import type { Question } from './question.ts';
import { dumpFileName } from './question/whole.ts';

export interface NamedDump {
  /** As the caller wrote it. */
  readonly asked: string;
  readonly id: ResourceId;
  readonly question: Question;
  readonly profile: CkanProfile;
  readonly now: Date;
}

export function fileNameOf(template: string | undefined, dump: NamedDump): string {
  const { asked, id, question, profile, now } = dump;
  if (template === undefined) return dumpFileName(asked, id, question, profile);
  const parts: Readonly<Record<string, string>> = {
    name: asked,
    id,
    date: now.toISOString().slice(0, 10),
    ext: question.format,
  };
  return template
    .replaceAll(/\{(\w+)\}/g, (written, part: string) => parts[part] ?? written)
    .replaceAll(/[/\\:*?<>|]/g, '_');
}
