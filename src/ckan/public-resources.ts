/**
 * All resources that anonymous users find in CKAN, in as few requests as there are pages: `package_search` asks by the
 * same labels as `package_show`, so a dataset that was made private, deleted or turned back into a draft is not found.
 *
 * The search index may lag behind; so a resource that it does not name is only doubtful, and is asked for one by one.
 */
import type { Ckan } from './client.ts';

const datasetsAPage = 200;
const mostPages = 5000;

interface Page {
  readonly count?: unknown;
  readonly results?: readonly { readonly resources?: readonly { readonly id?: unknown }[] }[];
}

/** Ids of the resources of all active public datasets; `whole` is false where CKAN did not tell all of them. */
export async function publicResources(
  ckan: Ckan,
): Promise<{ readonly ids: ReadonlySet<string>; readonly whole: boolean }> {
  const ids = new Set<string>();
  for (let page = 0; page < mostPages; page += 1) {
    const parameters = {
      q: '*:*',
      rows: String(datasetsAPage),
      start: String(page * datasetsAPage),
      sort: 'id asc',
    };
    const answer = await ckan.ask({ action: 'package_search', parameters, credentials: {}, method: 'GET' });
    if (answer.kind !== 'answer' || answer.status !== 200) return { ids, whole: false };
    const { results, count } = (answer.result ?? {}) as Page;
    if (!Array.isArray(results)) return { ids, whole: false };
    for (const { resources } of results as NonNullable<Page['results']>) {
      for (const { id } of resources ?? []) if (typeof id === 'string') ids.add(id);
    }
    if (results.length === 0 || (page + 1) * datasetsAPage >= Number(count)) return { ids, whole: true };
  }
  return { ids, whole: false };
}
