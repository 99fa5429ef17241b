/** The name of the file that a dump is saved as: CKAN's own, `<asked name or real id>.<format>`. */
import type { CkanProfile } from '../../ckan-profile.ts';
import type { Format } from '../../format.ts';
import type { ResourceId } from '../../table.ts';

export function dumpFileName(asked: string, id: ResourceId, format: Format, profile: CkanProfile): string {
  return `${profile.fileNamedAfter === 'alias' ? asked : id}.${format}`;
}
