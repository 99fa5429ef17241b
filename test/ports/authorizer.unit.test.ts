/** One conformance suite for every authorizer: it follows CKAN's rights, or lets everybody read everything. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { authorizers, decisionSeconds, type AuthorizerWorld } from './authorizers.ts';

const callers = ['anonymous', 'outsider', 'member', 'sysadmin'] as const;
type Who = (typeof callers)[number];

const tables = {
  open: { private: false, state: 'active' },
  private: { private: true, state: 'active' },
  draft: { private: false, state: 'draft' },
  deleted: { private: false, state: 'deleted' },
} as const;

function mayRead(who: Who, table: string): boolean {
  return table === 'open' || (table in tables && (who === 'member' || who === 'sysadmin'));
}

describe.each(Object.entries(authorizers))('an authorizer: %s', (_name, { how, isAsked, open }) => {
  let world: AuthorizerWorld;
  const ask = (table: string, who: string) => world.permission.mayRead(table, world.callerOf(who));

  beforeEach(async () => {
    world = await open();
    for (const [id, rights] of Object.entries(tables)) world.tables.set(id, { ...rights });
  });
  afterEach(() => world.stop());

  it('P9 each caller reads what its rights say, and only what everybody may read is public', async () => {
    for (const table of [...Object.keys(tables), 'unknown']) {
      for (const who of callers) {
        const isPublic = !isAsked || table === 'open';
        const expected =
          isPublic || mayRead(who, table) ? { kind: 'allowed', public: isPublic } : { kind: 'refused' };
        expect([table, who, await ask(table, who)]).toEqual([table, who, expected]);
      }
    }
  });

  it('P9 credentials that nobody knows are an anonymous caller', async () => {
    expect((await ask('open', 'stranger')).kind).toBe('allowed');
    expect((await ask('private', 'stranger')).kind).toBe(isAsked ? 'refused' : 'allowed');
  });

  it('P10 a lost right counts at the latest when the decision has ended', async () => {
    expect(await ask('open', 'outsider')).toEqual({ kind: 'allowed', public: true });
    world.tables.set('open', { private: true, state: 'active' });
    world.clock.advance(decisionSeconds);
    expect((await ask('open', 'outsider')).kind).toBe(isAsked ? 'refused' : 'allowed');
    world.tables.set('open', { private: false, state: 'active' });
    world.clock.advance(decisionSeconds);
    expect(await ask('open', 'outsider')).toEqual({ kind: 'allowed', public: true });
  });

  it('P11 what cannot be asked is unavailable with a reason, never a guess', async () => {
    expect((await ask('open', 'anonymous')).kind).toBe('allowed');
    world.breakDown();
    const known = await ask('open', 'anonymous');
    const unknown = await ask('private', 'member');
    expect(known.kind).toBe('allowed');
    if (!isAsked) return expect(unknown.kind).toBe('allowed');
    expect(unknown).toEqual({ kind: 'unavailable', reason: expect.stringContaining('CKAN') });
    world.clock.advance(decisionSeconds);
    expect((await ask('open', 'anonymous')).kind).toBe('unavailable');
  });

  it('callers at once and within a decision share one question', async () => {
    await ask('private', 'member');
    const before = world.requests().length;
    await Promise.all(Array.from({ length: 20 }, () => ask('draft', 'member')));
    await ask('draft', 'member');
    const asked = world.requests().slice(before);
    expect(asked.filter((who) => who === 'member')).toHaveLength(isAsked ? 1 : 0);
    expect(new Set(asked)).toEqual(new Set(isAsked ? ['anonymous', 'member'] : []));
  });

  it('says by which action it decides', async () => {
    await ask('open', 'anonymous');
    expect(world.permission.how()).toBe(how);
  });
});
