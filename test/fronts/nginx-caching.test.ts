/** The recipe of a caching nginx: no caller sees another's answer, and nothing is kept longer than it is true. */
import { describe, expect, it } from 'vitest';
import { recordCount } from '../world/counts.ts';
import { ask, dumping, front, listening, nginx, shows } from './front.ts';

describe.skipIf(nginx === null)('a caching nginx (skipped where there is no nginx)', () => {
  it('P9: through a caching nginx no caller ever sees the answer of another', async () => {
    const ckan = await listening(shows('ckan'));
    let asked = 0;
    const dumper = await dumping((incoming, answer) => {
      asked += 1;
      const caller = incoming.headers.authorization ?? incoming.headers.cookie ?? 'anonymous';
      const open = incoming.url?.includes('open') ?? false;
      answer.setHeader(
        'Cache-Control',
        open && caller === 'anonymous' ? 'public, max-age=60' : 'private, no-store',
      );
      answer.setHeader('Vary', 'Authorization, Cookie');
      if (!open && caller === 'anonymous') answer.statusCode = 404;
      answer.end(`for ${caller}`);
    });
    const port = await front('nginx-caching.conf', ckan.port, dumper.port);
    const callers = [
      {},
      { Authorization: 'ann' },
      { Cookie: 'bob' },
      {},
      { Authorization: 'eve' },
      { Cookie: 'bob' },
      { Authorization: 'ann' },
    ];
    let answers = 0;
    for (const target of ['/datastore/dump/open', '/datastore/dump/closed']) {
      for (const headers of [...callers, ...callers.toReversed()] as Record<string, string>[]) {
        const caller = headers['Authorization'] ?? headers['Cookie'] ?? 'anonymous';
        expect((await ask(port, target, headers)).body).toBe(`for ${caller}`);
        answers += 1;
      }
    }
    const before = asked;
    expect((await ask(port, '/datastore/dump/open')).headers['x-cache-status']).toBe('HIT');
    expect(asked).toBe(before);
    recordCount('P9', 'answers through a caching nginx', answers);
  });

  it('a cached dump that must be revalidated is asked for at every use', async () => {
    const ckan = await listening(shows('ckan'));
    let revision = 'one';
    const seen: (string | undefined)[] = [];
    const dumper = await dumping((incoming, answer) => {
      seen.push(incoming.headers['if-none-match']);
      answer.setHeader('ETag', `"${revision}"`);
      answer.setHeader('Cache-Control', 'public, max-age=0, must-revalidate');
      if (incoming.headers['if-none-match'] === `"${revision}"`) answer.statusCode = 304;
      answer.end(answer.statusCode === 304 ? undefined : revision);
    });
    const port = await front('nginx-caching.conf', ckan.port, dumper.port);
    expect((await ask(port, '/datastore/dump/x')).body).toBe('one');
    expect((await ask(port, '/datastore/dump/x')).body).toBe('one');
    revision = 'two';
    expect((await ask(port, '/datastore/dump/x')).body).toBe('two');
    expect(seen).toHaveLength(3);
  });
});
