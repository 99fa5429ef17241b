/** What the demo tells the reader to try: a redirect, a live answer, and a change that makes a dump stale and fresh again. */

export interface DemoPlaces {
  readonly port: number;
  /** The role that owns the tables, as CKAN would write. */
  readonly writeUrl: string;
  readonly blobs: string;
}

/** The largest table of the sample: 65,000 rows of numbers, groups, times and notes. */
export const demoTable = 'b6c0025d-7621-557b-8000-399c34d60459';

export function demoText({ port, writeUrl, blobs }: DemoPlaces): string {
  const url = `http://127.0.0.1:${port}/datastore/dump/${demoTable}`;
  const update = `UPDATE "${demoTable}" SET note = now()::text WHERE _id = 1`;
  return `
The service listens on http://127.0.0.1:${port}/ (open it: the status page). Dumps are in ${blobs}

1. A whole table is fresh, so the answer is a redirect to a file that is already there:

     curl -sS -L -D - -o dump.csv '${url}?bom=True'

2. A filter is answered live, with the bytes that CKAN would give; so is latest=true:

     curl -sS '${url}?filters=%7B%22_id%22:%5B1,2%5D%7D&format=json'

3. Change a row as CKAN would. The dump is stale at once (X-Dump-Source: live), and after
   two quiet seconds fresh again (X-Dump-Source: blob) with the new row:

     npx node --input-type=module -e "import pg from 'pg'; const c = new pg.Client('${writeUrl}'); await c.connect(); await c.query(process.argv[1]); await c.end()" \\
       ${shellQuoted(update)} \\
       && curl -sSI '${url}' | grep -i x-dump && sleep 6 && curl -sSI '${url}' | grep -i x-dump

   (with psql: psql ${writeUrl} -c ${shellQuoted(update)})

Ctrl-C stops everything and leaves nothing behind.`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
