/**
 * `npm run db`: a Postgres for the day, which every test run and `npm run dev` find by themselves while it is there.
 * Ctrl-C ends it, and so does `npm run db:stop` in another terminal.
 */
import { once } from 'node:events';
import { asAdmin } from './postgres.ts';
import { announceKeptPostgres, keptPostgres, withdrawKeptPostgres } from './kept-postgres.ts';
import { startPostgres } from './postgres-server.ts';

const stopping = 'datastore_dumper_stop';

/** Runs until a signal comes, or a notification from `stop`. */
async function keep(): Promise<void> {
  const running = await keptPostgres();
  if (running !== null) return console.log(`it runs already: TEST_POSTGRES_URL=${running}`);
  const server = await startPostgres();
  await announceKeptPostgres(server.adminUrl);
  console.log(`TEST_POSTGRES_URL=${server.adminUrl}\nthe tests use it by themselves; Ctrl-C ends it`);
  try {
    await asAdmin(server.adminUrl, async (client) => {
      await client.query(`LISTEN ${stopping}`);
      await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM'), once(client, 'notification')]);
    });
  } finally {
    await withdrawKeptPostgres();
    await server.stop();
  }
}

async function stop(): Promise<void> {
  const url = await keptPostgres();
  if (url === null) return console.log('no Postgres is kept');
  await asAdmin(url, (client) => client.query(`NOTIFY ${stopping}`));
}

await (process.argv[2] === 'stop' ? stop() : keep());
