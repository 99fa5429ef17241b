/** The authorizers under test: `off`, and a CKAN with and without `datastore_authorize`. A new one is one more entry. */
import { createCkan } from '../../src/ckan/client.ts';
import { createLog } from '../../src/log.ts';
import { anonymous, type Caller } from '../../src/serve/caller.ts';
import { createPermission, openToAll, type Permission } from '../../src/serve/permission.ts';
import { rightsOver, startCkan, type TableRights } from '../world/fake-ckan.ts';
import { createClock, type Clock } from '../world/clock.ts';

export const decisionSeconds = 10;

export interface AuthorizerWorld {
  readonly permission: Permission;
  /** What may be read; a test changes it while the world runs. */
  readonly tables: Map<string, TableRights>;
  readonly clock: Clock;
  callerOf(who: string): Caller;
  /** The callers that were asked about so far, one entry per request to CKAN. */
  requests(): readonly string[];
  /** From now on nothing that decides answers as it should. */
  breakDown(): void;
  stop(): Promise<void>;
}

export interface AuthorizerEntry {
  /** What `how()` answers after the first decision. */
  readonly how: string;
  /** It follows CKAN's rights; else everybody may read everything. */
  readonly isAsked: boolean;
  open(): Promise<AuthorizerWorld>;
}

export const authorizers: Readonly<Record<string, AuthorizerEntry>> = {
  off: { how: 'off', isAsked: false, open: openOff },
  'stock CKAN': { how: 'datastore_search', isAsked: true, open: () => openCkan(false) },
  datastore_authorize: { how: 'datastore_authorize', isAsked: true, open: () => openCkan(true) },
};

async function openOff(): Promise<AuthorizerWorld> {
  return {
    permission: openToAll,
    tables: new Map(),
    clock: createClock(),
    callerOf: (who) => ({ key: who, credentials: {} }),
    requests: () => [],
    breakDown: () => undefined,
    stop: async () => undefined,
  };
}

async function openCkan(authorize: boolean): Promise<AuthorizerWorld> {
  const tables = new Map<string, TableRights>();
  const clock = createClock();
  const server = await startCkan({
    permissions: rightsOver(tables),
    dataset: (id) => tables.get(id) ?? { private: false, state: 'active' },
    authorize,
  });
  const ckan = createCkan({ siteUrl: server.url, timeoutSeconds: 5, now: Date.now });
  const permission = createPermission({
    ckan,
    decisionSeconds,
    publicTables: [],
    shared: null,
    now: () => clock.now().getTime(),
    log: createLog('silent'),
  });
  return {
    permission,
    tables,
    clock,
    callerOf: (who) => {
      const token = server.token(who);
      return token === undefined ? anonymous : { key: who, credentials: { authorization: token } };
    },
    requests: () => server.asked.map(({ who }) => who),
    breakDown: () => server.setFault('error'),
    stop: async () => {
      ckan.close();
      await server.stop();
    },
  };
}
