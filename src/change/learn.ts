/**
 * What the manifests of a listing teach the records: those that are not known yet are read, those that are not there
 * any more are forgotten. The manifest is the truth (promise P5).
 */
import type { Records } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import { eachOf, type Listing, type Reading } from './store-inventory.ts';

export async function learnFromStore(
  { records, reading }: { readonly records: Records; readonly reading: Pick<Reading, 'published'> },
  tables: ReadonlyMap<ResourceId, unknown>,
  { manifests: listed, revisions }: Listing,
): Promise<void> {
  const known = await records.all();
  const unread = [...listed].filter(([id, entry]) => known.get(id)?.listed !== entry);
  await eachOf(unread, async ([id, entry]) => {
    const published = await reading.published(id);
    if (published === undefined) return;
    // a manifest that says nothing counts as none: a table publishes anew, a gone one is withdrawn
    if (published?.manifest) await records.found(id, published.manifest, entry);
    else if (tables.has(id)) await records.lost([id], 'missed');
    // a file of this name that nothing else says is ours may be anybody's
    else if (known.has(id) || revisions.has(id))
      await records.noticed([{ id }], { quietSeconds: 0, hotTableFactor: 0 });
  });
  const absent = [...known.values()].filter(({ id, token, held }) => token && !held && !listed.has(id));
  if (absent.length > 0) {
    await records.lost(
      absent.map(({ id }) => id),
      'missed',
    );
  }
}
