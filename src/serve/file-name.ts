/**
 * The name of the file that a dump is saved as: CKAN's own, or the template of `DUMPER_FILENAME` over `{name}` (what CKAN
 * calls the resource; else the name in the request, alias or id), `{id}`, `{date}` (UTC, `2026-11-21`) and
 * `{ext}`. What a file system cannot hold, or what makes a name look like another, becomes `_` (P17, no header
 * injection).
 */
import type { CkanProfile } from '../ckan/profile.ts';
import { formatTable } from '../format.ts';
import type { ResourceId } from '../postgres/table.ts';
import type { Question } from './question/question.ts';

interface NamedDump {
  /** Id or alias, as the caller wrote it. */
  readonly requestedName: string;
  /** What CKAN calls the resource; null where that is not known. */
  readonly resourceName: string | null;
  readonly id: ResourceId;
  readonly question: Question;
  readonly profile: CkanProfile;
  readonly now: Date;
}

/** Whether this template needs CKAN's name of the resource. */
export function needsResourceName(template: string | undefined): boolean {
  return template?.includes('{name}') ?? false;
}

export function fileNameOf(template: string | undefined, dump: NamedDump): string {
  const { requestedName, resourceName, id, question, profile, now } = dump;
  const { extension } = formatTable[question.format];
  if (template === undefined)
    return `${profile.fileNamedAfter === 'alias' ? requestedName : id}.${extension}`;
  const parts = new Map<string, string>(
    Object.entries({
      name: withoutExtension(resourceName ?? requestedName, extension),
      id,
      date: now.toISOString().slice(0, 10),
      ext: extension,
    }),
  );
  const filled = template.replaceAll(/\{(\w+)\}/g, (written, part: string) => parts.get(part) ?? written);
  return withSafeEnd(filled.replaceAll(unsafe, '_'));
}

/** Separators, wild cards, controls of direction, dots in front. */
const unsafe = /[/\\:*?<>|\u200e\u200f\u202a-\u202e\u2066-\u2069]|^\.+/g;

/** Dots and blanks at the end, by the character: a pattern for them takes the square of a long run inside the name. */
function withSafeEnd(name: string): string {
  let end = name.length;
  while (end > 0 && '. '.includes(name.charAt(end - 1))) end -= 1;
  return end === name.length ? name : `${name.slice(0, end)}_`;
}

/** Resources are often called after a file: `data.csv` is saved as `data.csv`, not as `data.csv.csv`. */
function withoutExtension(name: string, extension: string): string {
  const suffix = `.${extension}`;
  return name.toLowerCase().endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}
