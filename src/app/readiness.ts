/**
 * Whether each dependency can be used now: asked by `/readyz`, which marks as needed only what dumps cannot be answered
 * without, and by `doctor`, which goes on to try every right.
 */
import type pg from 'pg';
import type { BlobStore } from '../blob-store/blob-store.ts';
import type { Ckan } from '../ckan/client.ts';
import { readCkanVersion } from '../ckan/detect-version.ts';
import { DumperError } from '../errors.ts';
import type { ReadinessCheck } from '../serve/context.ts';
import type { Background } from './background.ts';
import type { AppContext } from './context.ts';

/** Resolves with a remark for people, rejects with why the database cannot be asked. */
export async function checkDatabase(pool: pg.Pool): Promise<string> {
  await pool.query('SELECT');
  return 'answers';
}

export async function checkBlobStore(store: BlobStore): Promise<string> {
  await store.check();
  return 'takes and gives objects';
}

export async function checkCkan(ckan: Ckan | null): Promise<string> {
  if (ckan === null) throw new DumperError('CONFIGURATION', 'CKAN_SITE_URL is not set');
  const version = await readCkanVersion(ckan);
  return version === null ? 'answers, but does not tell its version' : `answers as CKAN ${version}`;
}

/** `how`: the action by which CKAN is asked for permission. */
export function readinessChecks(
  context: AppContext,
  background: Pick<Background, 'publishing' | 'fault'>,
  how: () => string,
): ReadinessCheck[] {
  const { config, store, readPool } = context;
  const checks: ReadinessCheck[] = [
    { name: 'datastore', needed: true, check: () => checkDatabase(readPool) },
  ];
  if (config.DUMPER_AUTHORIZE === 'ckan')
    checks.push({ name: 'ckan', needed: true, check: () => checkPermissions(context, how) });
  if (store !== null) checks.push({ name: 'blob store', needed: false, check: () => checkBlobStore(store) });
  if (config.DUMPER_STATE_URL !== undefined) {
    checks.push({
      name: 'state database',
      needed: false,
      check: async () => {
        const { publishing, fault } = background;
        if (publishing === null) throw new DumperError('STATE_UNAVAILABLE', fault);
        return checkDatabase(publishing.state.pool);
      },
    });
  }
  return checks;
}

async function checkPermissions({ ckan, profiles }: AppContext, how: () => string): Promise<string> {
  await checkCkan(ckan);
  const asked = how() === 'unknown' ? 'not asked for permission yet' : `asked for permission by ${how()}`;
  return `answers, ${asked}; dumps as CKAN ${profiles.current()?.version ?? '?'} gives them`;
}
