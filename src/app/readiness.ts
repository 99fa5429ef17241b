/** What `/readyz` asks, dependency by dependency; only what dumps cannot be answered without is marked as needed. */
import type { ReadinessCheck } from '../serve/context.ts';
import { DumperError } from '../errors.ts';
import type { Publishing } from './publishing.ts';
import type { AppContext } from './context.ts';

/** `publishing`: what is open, or why it is not; `how`: the action by which CKAN is asked for permission. */
export function readinessChecks(
  context: AppContext,
  publishing: () => Publishing | string,
  how: () => string,
): ReadinessCheck[] {
  const { config, store } = context;
  const checks: ReadinessCheck[] = [
    {
      name: 'datastore',
      needed: true,
      check: async () => {
        await context.readPool.query('SELECT');
        return 'answers';
      },
    },
  ];
  if (config.DUMPER_AUTHORIZE === 'ckan') checks.push(ckanCheck(context, how));
  if (store !== null) {
    checks.push({
      name: 'blob store',
      needed: false,
      check: async () => {
        await store.check();
        return 'takes and gives objects';
      },
    });
  }
  if (config.DUMPER_STATE_URL !== undefined) {
    checks.push({
      name: 'state database',
      needed: false,
      check: async () => {
        const open = publishing();
        if (typeof open === 'string') throw new DumperError('STATE_UNAVAILABLE', open);
        await open.state.pool.query('SELECT');
        return 'answers';
      },
    });
  }
  return checks;
}

function ckanCheck({ ckan, profiles }: AppContext, how: () => string): ReadinessCheck {
  return {
    name: 'ckan',
    needed: true,
    check: async () => {
      const answer = await ckan?.ask({
        action: 'status_show',
        parameters: {},
        credentials: {},
        method: 'GET',
      });
      if (answer === undefined || answer.kind === 'unavailable') {
        throw new DumperError('CKAN_UNAVAILABLE', answer?.reason ?? 'no address of CKAN is set');
      }
      const asked = how() === 'unknown' ? 'not asked for permission yet' : `asked for permission by ${how()}`;
      return `answers, ${asked}; dumps as CKAN ${profiles.current()?.version ?? '?'} gives them`;
    },
  };
}
