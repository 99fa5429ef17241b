/** P6, P9: a signed path gives one blob with the headers it was signed for until it expires, and nothing else. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { signPath, verifyPath, type SignedAnswer } from '../../src/signed-path.ts';

const secret = 'of the tests';
const now = new Date('2026-11-21T12:00:00Z');
const later = new Date('2026-11-21T12:05:00Z');
const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 });
const answers: fc.Arbitrary<SignedAnswer> = fc.record(
  {
    key: fc
      .array(
        text.filter((segment) => !segment.includes('/')),
        { minLength: 1, maxLength: 4 },
      )
      .map((parts) => parts.join('/')),
    cacheControl: text,
    contentDisposition: text,
  },
  { requiredKeys: ['key'] },
);

describe('signed paths', () => {
  test('P6 whatever was signed is valid until its end, and expired from then on', () => {
    fc.assert(
      fc.property(answers, (answer) => {
        const path = signPath(secret, answer, later);
        expect(verifyPath(secret, path, now)).toEqual({ kind: 'valid', expiresAt: later, ...answer });
        expect(verifyPath(secret, path, later)).toEqual({ kind: 'expired' });
      }),
    );
  });

  test('P9 two askings never sign alike, and no changed character is accepted', () => {
    fc.assert(
      fc.property(answers, answers, fc.nat(), (one, other, at) => {
        const path = signPath(secret, one, later);
        const parameters = new URL(path, 'http://x').search;
        if (JSON.stringify(one) !== JSON.stringify(other))
          expect(signPath(secret, other, later)).not.toBe(path);
        const position = at % path.length;
        const changed =
          path.slice(0, position) + (path[position] === 'a' ? 'b' : 'a') + path.slice(position + 1);
        const verdict = verifyPath(secret, changed, now);
        if (verdict.kind === 'valid') expect(verdict).toMatchObject(one);
        const moved = verifyPath(secret, `/blobs/other${parameters}`, now);
        if (one.key !== 'other') expect(moved).toEqual({ kind: 'forged' });
        expect(verifyPath('another secret', path, now)).toEqual({ kind: 'forged' });
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    '/blobs/a',
    '/blobs/a?',
    '/blobs/a?expires=99999999999',
    '/blobs/%E0%A4%A?expires=1&signature=x',
    '/other/a?x',
    '',
  ])('P9 forged: %j', (target) => {
    expect(verifyPath(secret, target, now)).toEqual({ kind: 'forged' });
  });

  test('P9 a longer life, other headers, or fewer parameters are forged', () => {
    const path = signPath(secret, { key: 'a/b.csv', cacheControl: 'private, no-store' }, later);
    const url = new URL(path, 'http://x');
    const edited = (edit: (query: URLSearchParams) => void): string => {
      const query = new URLSearchParams(url.search);
      edit(query);
      return `${url.pathname}?${query}`;
    };
    expect(
      verifyPath(
        secret,
        edited(() => undefined),
        now,
      ).kind,
    ).toBe('valid');
    for (const forged of [
      edited((query) => query.set('expires', '99999999999')),
      edited((query) => query.set('cache', 'public')),
      edited((query) => query.delete('cache')),
      edited((query) => query.set('disposition', 'inline')),
      edited((query) => query.set('signature', '')),
    ]) {
      expect(verifyPath(secret, forged, now)).toEqual({ kind: 'forged' });
    }
  });
});
