/** A worker that takes one job, says so and never ends it: to be killed. */
import { createLog } from '../../src/log.ts';
import { openQueue } from '../../src/change/queue.ts';

const queue = await openQueue({
  url: process.argv[2] ?? '',
  log: createLog('silent'),
  slots: 1,
  smallTableBytes: 1000,
  maxSeconds: 600,
});
await queue.work((id) => {
  process.send?.(id);
  return Promise.withResolvers<{ kind: 'done' }>().promise;
});
