/** Promise P22: questions that nobody recorded, over the recorded tables: right in every format, never a 5xx. */
import path from 'node:path';
import { expect, test, vi } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { freshDatabase } from '../world/postgres.ts';
import { readCorpus } from './corpus.ts';
import { startService } from './program.ts';
import { vary } from './variations.ts';

// a whole corpus is loaded, published and asked for
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });

const large = ['big65k', 'big-cell'];

test.each(['2.11.6', '2.12.0'] as const)(
  'P22: any question over the tables of CKAN %s has the same rows in every format, those that are plainly meant',
  async (corpus) => {
    const database = await freshDatabase({ corpus });
    const { cases } = await readCorpus(path.join(import.meta.dirname, '../fixtures/conformance', corpus));
    const tables = cases.filter(({ table }) => table !== null && !large.includes(table));
    const ids = new Set(tables.flatMap(({ resource_id: id }) => id ?? []));
    const service = await startService({
      CKAN_DATASTORE_READ_URL: database.readUrl,
      DUMPER_AUTHORIZE: 'off',
      DUMPER_CKAN_VERSION: corpus.slice(0, 4),
    });
    try {
      const paths = [...ids].map((id) => `/datastore/dump/${id}`);
      const { statuses, faults } = await vary(service.port, paths, 150, 11, corpus !== '2.11.6');
      expect(faults).toEqual([]);
      expect(statuses[200]).toBeGreaterThan(75);
      recordCount('P22', `unrecorded questions over the tables of CKAN ${corpus}`, statuses[200] ?? 0);
    } finally {
      await service.stop();
      await database.drop();
    }
  },
  120_000,
);
