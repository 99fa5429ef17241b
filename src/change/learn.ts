/**
 * What the manifests of a listing teach the records: those that are not known yet are read, those that are not there
 * any more are forgotten. The manifest is the truth (promise P5).
 */
import type { Publications } from '../state/publications.ts';
import type { ResourceId } from '../postgres/table.ts';
import { eachOf, type StoreInventory, type ManifestReader } from './store-inventory.ts';

export async function rebuildRecords(
  {
    publications,
    reading,
  }: { readonly publications: Publications; readonly reading: Pick<ManifestReader, 'published'> },
  tables: ReadonlyMap<ResourceId, unknown>,
  { manifests: listed, revisions }: StoreInventory,
): Promise<void> {
  const known = await publications.all();
  const unread = [...listed].filter(([id, entry]) => known.get(id)?.listed !== entry);
  await eachOf(unread, async ([id, entry]) => {
    const published = await reading.published(id);
    if (published === undefined) return;
    // a manifest that says nothing counts as none: a table publishes anew, a gone one is withdrawn
    if (published?.manifest) await publications.recordDiscovered(id, published.manifest, entry);
    else if (tables.has(id)) await publications.recordRemoved([id], 'missed');
    // a file of this name that nothing else says is ours may be anybody's
    else if (known.has(id) || revisions.has(id))
      await publications.recordChanges([{ id }], { quietSeconds: 0, hotTableFactor: 0 });
  });
  const absent = [...known.values()].filter(({ id, token, leased }) => token && !leased && !listed.has(id));
  if (absent.length > 0) {
    await publications.recordRemoved(
      absent.map(({ id }) => id),
      'missed',
    );
  }
}
