/** When nginx lets CKAN answer in the service's place, when it must not, and how soon it leaves a process that hangs. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { ask, dumping, front, listening, nginx, shown, shows } from './front.ts';

const recipes = ['nginx.conf', 'nginx-caching.conf', 'nginx-x-accel.conf'];

/** Answers with the status that the path ends with; a header for each letter after it. */
const byPath: RequestListener = (incoming, answer) => {
  const [, status = '200', fallback] = /(\d+)(-fallback)?$/.exec(incoming.url ?? '') ?? [];
  answer.writeHead(Number(status), {
    'Retry-After': '5',
    'Content-Type': 'text/plain; charset=utf-8',
    ...(fallback === undefined ? {} : { 'X-Dump-Fallback': 'yes' }),
  });
  answer.end(`why it is ${status}\n`);
};

/** Processes that a test has stopped; SIGKILL ends them all the same. */
const hanging: ReturnType<typeof spawn>[] = [];
afterEach(async () => {
  for (const running of hanging.splice(0)) {
    const exit = once(running, 'exit');
    running.kill('SIGKILL');
    await exit;
  }
});

/** A process that listens, so that the kernel still takes connections, and is stopped, so that nothing answers. */
async function hung(): Promise<number> {
  const source =
    "const s = require('node:http').createServer((q, a) => a.end('late')).listen(0, '127.0.0.1', () => console.log(s.address().port))";
  const running = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'pipe', 'inherit'] });
  hanging.push(running);
  const [port] = (await once(running.stdout, 'data')) as [Buffer];
  running.kill('SIGSTOP');
  return Number(port.toString());
}

/** Far less than the time for which a live answer may stay silent (90 s), far more than the 2 s that are waited for. */
const withinSeconds = 30;

async function timed<Result>(work: () => Promise<Result>): Promise<{ result: Result; seconds: number }> {
  const begun = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - begun) / 1000 };
}

describe.skipIf(nginx === null)(
  'nginx and a service that is not well (skipped where there is no nginx)',
  () => {
    it.each(recipes)(
      '%s: a 503 with X-Dump-Fallback is answered by CKAN, asked as the caller',
      async (recipe) => {
        const ckan = await listening(shows('ckan'));
        const dumper = await dumping(byPath);
        const port = await front(recipe, ckan.port, dumper.port);
        for (const target of [
          '/datastore/dump/503-fallback',
          '/fr/datastore/dump/a%20b%2Fc?x=503-fallback',
        ]) {
          const reached = await shown(port, target, { Authorization: 'token', Cookie: 'ckan=session' });
          expect(reached).toMatchObject({ name: 'ckan', url: target });
          expect(reached.headers).toMatchObject({ authorization: 'token', cookie: 'ckan=session' });
        }
        const { status, headers } = await ask(port, '/datastore/dump/503-fallback');
        expect(status).toBe(200);
        expect(headers).not.toHaveProperty('retry-after');
        expect(headers).not.toHaveProperty('x-accel-redirect');
        expect((await ask(port, '/datastore/dump/503-fallback', {}, 'HEAD')).status).toBe(200);
      },
    );

    it.each(recipes)('%s: every other answer of the service goes to the client unchanged', async (recipe) => {
      const ckan = await listening(shows('ckan'));
      const dumper = await dumping(byPath);
      const port = await front(recipe, ckan.port, dumper.port);
      for (const status of [503, 500, 502, 504, 404, 400, 200]) {
        const answer = await ask(port, `/datastore/dump/${status}`);
        expect([answer.status, answer.body]).toEqual([status, `why it is ${status}\n`]);
        expect(answer.headers).toMatchObject({
          'retry-after': '5',
          'content-type': 'text/plain; charset=utf-8',
        });
      }
    });

    it.each(recipes)(
      "%s: a service that is gone leaves CKAN's own dump, and is used as soon as it is back",
      async (recipe) => {
        const ckan = await listening(shows('ckan'));
        const dumper = await dumping(shows('dumper'));
        const port = await front(recipe, ckan.port, dumper.port);
        await dumper.stop();
        const target = '/datastore/dump/x?q=%C3%A9';
        expect(await shown(port, target)).toMatchObject({ name: 'ckan', url: target });
        await listening(shows('dumper'), dumper.port);
        expect(await shown(port, target)).toMatchObject({ name: 'dumper', url: target });
      },
    );

    it('a service that says that it is not alive is not asked', async () => {
      const ckan = await listening(shows('ckan'));
      const dumper = await listening((_incoming, answer) => {
        answer.statusCode = 503;
        answer.end();
      });
      const port = await front('nginx.conf', ckan.port, dumper.port);
      expect(await shown(port, '/datastore/dump/x')).toMatchObject({ name: 'ckan' });
    });

    it.each(recipes)('%s: a process that hangs is left for CKAN within seconds', async (recipe) => {
      const ckan = await listening(shows('ckan'));
      const port = await front(recipe, ckan.port, await hung());
      const { result, seconds } = await timed(() => shown(port, '/datastore/dump/x'));
      expect(result).toMatchObject({ name: 'ckan' });
      expect(seconds).toBeLessThan(withinSeconds);
    });

    it('of two processes the one that hangs is left for the other, for every request', async () => {
      const ckan = await listening(shows('ckan'));
      const dumper = await dumping(shows('dumper'));
      const port = await front('nginx.conf', ckan.port, await hung(), dumper.port);
      const targets = Array.from({ length: 12 }, (_, index) => `/datastore/dump/${index}`);
      const { result, seconds } = await timed(() =>
        Promise.all(targets.map((target) => shown(port, target))),
      );
      expect(result.map(({ name }) => name)).toEqual(targets.map(() => 'dumper'));
      expect(seconds).toBeLessThan(withinSeconds);
    });

    it('a live answer that waits longer for its first row is not cut', async () => {
      const ckan = await listening(shows('ckan'));
      const dumper = await dumping((_incoming, answer) => {
        // longer than the answer to "are you alive?" and a connection may take together
        setTimeout(() => answer.end('first row'), 6_000);
      });
      const port = await front('nginx.conf', ckan.port, dumper.port);
      expect((await ask(port, '/datastore/dump/x')).body).toBe('first row');
    });

    it('CKAN has no blobs: while the service is gone they are 503', async () => {
      const ckan = await listening(shows('ckan'));
      const dumper = await dumping(shows('dumper'));
      const port = await front('nginx.conf', ckan.port, dumper.port);
      await dumper.stop();
      expect((await ask(port, '/blobs/x')).status).toBe(503);
    });
  },
);
