/** What the demo tells the reader to try: a redirect, a live answer, and a change that makes a dump stale and fresh again. */

import { city } from './city.ts';
import { airQuality } from './tables/air-quality.ts';
import { demoTables } from './tables.ts';

interface DemoPlaces {
  readonly port: number;
  /** The role that owns the tables, as CKAN would write. */
  readonly writeUrl: string;
  readonly blobs: string;
}

export function demoText({ port, writeUrl, blobs }: DemoPlaces): string {
  const dumps = `http://127.0.0.1:${port}/datastore/dump/`;
  const url = `${dumps}${airQuality.id}`;
  const filters = encodeURIComponent(JSON.stringify({ station: 'Port-Évêque' }));
  const update = `UPDATE "${airQuality.id}" SET remark = now()::text WHERE _id = 1`;
  return `
The service listens on http://127.0.0.1:${port}/ (open it: the status page). Dumps are in ${blobs}
The tables of ${city}, a city that does not exist; a table's dump is at ${dumps}<id>

${demoTables.map(listed).join('\n')}

1. A whole table is fresh, so the answer is a redirect to a file that is already there:

     curl -sS -L -D - -o dump.csv '${url}?bom=True'

2. A filter is answered live, with the bytes that CKAN would give; so is latest=true:

     curl -sS '${url}?filters=${filters}&limit=2&format=json'

3. Change a row as CKAN would. The dump is stale at once (X-Dump-Source: live), and after
   two quiet seconds fresh again (X-Dump-Source: blob) with the new row:

     npx node --input-type=module -e "import pg from 'pg'; const c = new pg.Client('${writeUrl}'); await c.connect(); await c.query(process.argv[1]); await c.end()" \\
       ${shellQuoted(update)} \\
       && curl -sSI '${url}' | grep -i x-dump && sleep 6 && curl -sSI '${url}' | grep -i x-dump

   (with psql: psql ${writeUrl} -c ${shellQuoted(update)})

Ctrl-C stops everything and leaves nothing behind.`;
}

function listed({ id, rowCount, title }: (typeof demoTables)[number]): string {
  return `     ${id}  ${rowCount.toLocaleString('en').padStart(7)} rows  ${title}`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
