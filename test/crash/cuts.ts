/**
 * P1: the links of a publication broken in every way, and what is published afterwards. Each function runs `rounds`
 * publications and returns how many met their fault; it throws at the first one that leaves something wrong.
 */
import { createPool } from '../../src/postgres/pool.ts';
import { openBlobStore } from '../../src/blob-store/open.ts';
import type { BlobStore } from '../../src/blob-store/blob-store.ts';
import { publish, type PublishDeps } from '../../src/publish/publish.ts';
import { formats, type Format } from '../../src/format.ts';
import { asResourceId } from '../../src/postgres/table.ts';
import { openPublishing, plainly, publishedVariants, type Publishing } from '../publish/publishing.ts';
import { startFaultProxy } from '../world/fault-proxy.ts';
import { asAdmin } from '../world/postgres.ts';
import { startS3Faults, type S3Fault } from '../world/s3-faults.ts';
import type { S3Server } from '../world/s3.ts';
import { faultsOf, keysIn, manifestOf, namedKeys } from './audit.ts';
import type { Random } from './random.ts';

export const id = asResourceId('t-cuts');

export interface Cuts {
  /** Faults that a publication met. */
  readonly met: number;
  /** Publications that failed by it; the others had succeeded before, or recovered from it. */
  readonly failed: number;
}

async function createTable({ database }: Publishing, rows: number, width: number): Promise<void> {
  await asAdmin(database.writeUrl, (owner) =>
    owner.query(`CREATE TABLE public."${id}" (_id serial PRIMARY KEY, _full_text tsvector, name text, n int4);
      INSERT INTO public."${id}" (name, n) SELECT rpad('name ' || i, ${width}, 'x'), i FROM generate_series(1, ${rows}) i`),
  );
}

/** Publish once; then nothing but what the manifest in force names and says is in the store. */
async function publishAndAudit(
  { state }: Publishing,
  world: PublishDeps,
  store: BlobStore,
): Promise<'published' | 'failed'> {
  const before = await manifestOf(store, id);
  const ended = await publish(world, id, plainly({ force: true })).then(
    (outcome) => outcome.kind,
    () => 'failed' as const,
  );
  await state.fence.release(id);
  const after = await manifestOf(store, id);
  // only where the answer to the switch itself may be lost
  if (world.store === store && ended !== 'published' && after?.revision !== before?.revision)
    throw new Error('it failed and switched');
  const faults = after === null ? [] : await faultsOf(store, after);
  if (faults.length > 0) throw new Error(faults.join('; '));
  const left = await keysIn(store);
  const living = new Set(await namedKeys(store, [id]));
  if (ended === 'failed') {
    const superseded = new Set(after?.superseded.map(({ revision }) => revision));
    const orphans = left.filter((key) => !living.has(key) && !superseded.has(key.split('/')[1] ?? ''));
    if (orphans.length > 0 && world.store === store) throw new Error(`left behind: ${orphans.join(', ')}`);
  }
  return ended === 'published' ? 'published' : 'failed';
}

/** Cut Postgres's answers to one format's publication at random bytes, by reset and by a clean end. */
export async function cutPostgres(format: Format, rounds: number, random: Random): Promise<Cuts> {
  const publishing = await openPublishing();
  const { hostname, port } = new URL(publishing.database.readUrl);
  const proxy = await startFaultProxy({ host: hostname, port: Number(port) });
  const result = { met: 0, failed: 0 };
  try {
    await createTable(publishing, 2000, 60);
    const variants = publishedVariants.filter((variant) => variant.startsWith(format));
    const straight = publishing.world({ variants });
    await publishAndAudit(publishing, straight, publishing.store);
    const bytes = (await manifestOf(publishing.store, id))?.blobs[format]?.bytes ?? 0;
    const reach = Math.min(bytes * 1.3, 250_000);
    while (result.met < rounds) {
      const pool = createPool({
        url: proxy.through(publishing.database.readUrl),
        applicationName: 'dumper-test-cut',
        size: 1,
        onIdleError: () => undefined,
      });
      const cutAfter = { bytes: 1 + random(reach), direction: 'toClient' } as const;
      proxy.set({ cutAfter, cutBy: random(2) === 0 ? 'reset' : 'fin' });
      const ended = await publishAndAudit(publishing, { ...straight, pool }, publishing.store);
      if (ended === 'failed') result.failed += 1;
      await pool.end();
      result.met = proxy.cuts;
    }
    proxy.pass();
    if ((await publishAndAudit(publishing, straight, publishing.store)) === 'failed')
      throw new Error('it does not recover');
  } finally {
    await proxy.stop();
    await publishing.close();
  }
  return result;
}

/** An error that Postgres raises at the very last row, by a row policy, at every `rounds`-th size. */
export async function lastRowErrors(rounds: number): Promise<Cuts> {
  const publishing = await openPublishing();
  try {
    await createTable(publishing, 3000, 40);
    await publishAndAudit(publishing, publishing.world(), publishing.store);
    await asAdmin(publishing.database.writeUrl, (owner) =>
      owner.query(`CREATE FUNCTION public.raise_at(row_id int, last int) RETURNS boolean LANGUAGE plpgsql AS $$
          BEGIN IF row_id = last THEN RAISE 'the last row is broken'; END IF; RETURN true; END $$;
        ALTER TABLE public."${id}" ENABLE ROW LEVEL SECURITY`),
    );
    let failed = 0;
    for (let round = 0; round < rounds; round += 1) {
      const last = 3000 - round * 17;
      await asAdmin(publishing.database.writeUrl, (owner) =>
        owner.query(`DROP POLICY IF EXISTS broken ON public."${id}"; DELETE FROM public."${id}" WHERE _id > ${last};
          CREATE POLICY broken ON public."${id}" USING (public.raise_at(_id, ${last}))`),
      );
      if ((await publishAndAudit(publishing, publishing.world(), publishing.store)) === 'failed') failed += 1;
    }
    return { met: rounds, failed };
  } finally {
    await publishing.close();
  }
}

const s3Faults: readonly S3Fault[] = ['flip-byte', 'error-500', 'lose-answer'];

/** Requests of an upload refused, changed on their way or answered into nothing, at a random one each round. */
export async function faultS3(s3: S3Server, rounds: number, random: Random): Promise<Cuts> {
  const double = await startS3Faults(s3);
  const bucket = await s3.createBucket();
  const through = { ...s3.environment, AWS_ENDPOINT_URL_S3: `http://${double.host}:${double.port}` };
  const open = (environment: Readonly<Record<string, string>>): BlobStore =>
    openBlobStore(`s3://${bucket}/p`, { environment, signingSecret: '' });
  const [straight, faulty] = [open(s3.environment), open(through)];
  const publishing = await openPublishing({ store: straight });
  const result = { met: 0, failed: 0 };
  try {
    await createTable(publishing, 24_000, 220);
    for (let round = 0; round < rounds; round += 1) {
      const fault = s3Faults[round % s3Faults.length] ?? 'error-500';
      let left = random(24);
      // an insistent fault outlives the client's own tries
      let times = random(2) === 0 ? 1 : 1000;
      const target = round % 4 === 3 ? 'POST' : 'PUT';
      double.rule = (method) => {
        if (method !== target || times === 0) return null;
        if (left > 0 && target === 'PUT') {
          left -= 1;
          return null;
        }
        times -= 1;
        result.met += 1;
        return fault;
      };
      const ended = await publishAndAudit(publishing, publishing.world({ store: faulty }), straight);
      if (ended === 'failed') result.failed += 1;
    }
    double.rule = () => null;
    if ((await publishAndAudit(publishing, publishing.world({ store: faulty }), straight)) === 'failed')
      throw new Error('it does not recover');
    // P7: one sweep finds what a fault made impossible to give up in order
    await straight.abortUnfinished(new Date(Date.now() + 60_000));
    const left = await straight.abortUnfinished(new Date(Date.now() + 60_000));
    if (left > 0) throw new Error(`${left} uploads are left unfinished`);
  } finally {
    await faulty.close();
    await publishing.close();
    await double.stop();
  }
  return result;
}

export const cutFormats = formats;
