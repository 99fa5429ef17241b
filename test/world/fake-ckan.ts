/**
 * A small CKAN: the actions that the service asks, over real HTTP, with rights that a test gives and changes at run time,
 * and the ways in which a CKAN goes wrong.
 *
 * Tokens count only bare in `Authorization`, as in CKAN; a session is the cookie `ckan=session-<user>`.
 */
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';

/** Who asks: a user's name, or `anonymous`. */
export type Who = string;

/** The status that CKAN's API gives `who` for an action on an id. */
export type Rights = (who: Who, action: string, id: string) => number;

export type CkanFault = 'error' | 'blackhole' | 'html' | 'redirect' | 'huge' | 'reset' | 'lie';

export interface CkanOptions {
  readonly version?: string;
  readonly permissions: Rights;
  /** Users by name; the token of each is `token-<name>`. */
  readonly users?: readonly string[];
  /** Has `datastore_authorize` (ckanext-datastore-authz). */
  readonly authorize?: boolean;
  /** Other actions: the result for what was given, or null to refuse. */
  readonly actions?: Readonly<Record<string, (given: Record<string, unknown>, who: Who) => unknown>>;
  /** What `datastore_authorize` tells of a table's dataset. */
  readonly dataset?: (id: string) => { readonly private: boolean; readonly state: string };
}

export interface AskedOfCkan {
  readonly action: string;
  readonly id: string;
  readonly who: Who;
  readonly headers: http.IncomingHttpHeaders;
}

export interface FakeCkan {
  readonly url: string;
  /** The header value by which a user is known; undefined for anonymous. */
  token(who: Who): string | undefined;
  /** Every request since the last `forget`. */
  readonly asked: AskedOfCkan[];
  /** How many requests met a fault since the last `forget`. */
  faulted(): number;
  forget(): void;
  /** From now on rights are these. */
  setPermissions(rights: Rights): void;
  setVersion(version: string): void;
  /** From now on everything goes wrong in this way; null: nothing does. */
  setFault(fault: CkanFault | null): void;
  /** A token is known no more. */
  revoke(who: Who): void;
  stop(): Promise<void>;
}

const callers = ['outsider', 'member', 'editor', 'sysadmin'];

export async function startCkan(options: CkanOptions): Promise<FakeCkan> {
  const users = new Set(options.users ?? callers);
  const asked: AskedOfCkan[] = [];
  const faulted = { count: 0 };
  const now = {
    rights: options.permissions,
    fault: null as CkanFault | null,
    version: options.version ?? '2.12.0',
  };
  const server = http.createServer((request, response) => {
    if (now.fault !== null) {
      faulted.count += 1;
      return wrongly[now.fault](response);
    }
    void readQuestion(request).then((question) => {
      const who = whoIs(request.headers, users);
      const { action, id } = question;
      asked.push({ action, id, who, headers: request.headers });
      answer(response, { ...question, who, options, rights: now.rights, version: now.version });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: (who) => (who === 'anonymous' ? undefined : `token-${who}`),
    asked,
    faulted: () => faulted.count,
    forget: () => {
      asked.splice(0);
      faulted.count = 0;
    },
    setPermissions: (rights) => {
      now.rights = rights;
    },
    setVersion: (version) => {
      now.version = version;
    },
    setFault: (fault) => {
      now.fault = fault;
      server.closeIdleConnections();
    },
    revoke: (who) => void users.delete(who),
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function whoIs(headers: http.IncomingHttpHeaders, users: ReadonlySet<string>): Who {
  const [, byToken = ''] = /^token-(\w+)$/.exec(headers.authorization ?? '') ?? [];
  if (users.has(byToken)) return byToken;
  const [, bySession = ''] = /(?:^|;\s*)ckan=session-(\w+)/.exec(headers.cookie ?? '') ?? [];
  return users.has(bySession) ? bySession : 'anonymous';
}

async function readQuestion(
  request: http.IncomingMessage,
): Promise<{ action: string; id: string; method: string; given: Record<string, unknown> }> {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const action = url.pathname.split('/').at(-1) ?? '';
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = JSON.parse(Buffer.concat(chunks).toString() || '{}') as Record<string, string>;
  const given = { ...Object.fromEntries(url.searchParams), ...body };
  return { action, id: given['resource_id'] ?? given['id'] ?? '', method: request.method ?? '', given };
}

interface Asked {
  readonly action: string;
  readonly id: string;
  readonly method: string;
  readonly given: Record<string, unknown>;
  readonly who: Who;
  readonly options: CkanOptions;
  readonly rights: Rights;
  readonly version: string;
}

const known = ['datastore_search', 'datastore_info', 'resource_show', 'package_show'];

function answer(response: http.ServerResponse, asked: Asked): void {
  const { action, id, who, options } = asked;
  if (action === 'status_show') {
    return send(response, 200, {
      success: true,
      result: { ckan_version: asked.version, site_title: 'fake CKAN' },
    });
  }
  const other = options.actions?.[action]?.(asked.given, who);
  if (other !== undefined) {
    return send(response, other === null ? 403 : 200, { success: other !== null, result: other });
  }
  const isAuthorize = action === 'datastore_authorize' && options.authorize === true;
  if (!isAuthorize && !known.includes(action)) {
    response.writeHead(400, { 'content-type': 'text/html; charset=utf-8' });
    response.end(`Bad request - Action name not known: ${action}`);
    return;
  }
  if (isAuthorize && asked.method !== 'POST') return send(response, 400, 'Bad request - POST only');
  const status = asked.rights(who, isAuthorize ? 'resource_show' : action, id);
  if (status !== 200) return send(response, status, { success: false, error: { __type: 'Refused' } });
  const dataset = options.dataset?.(id) ?? { private: false, state: 'active' };
  const result = isAuthorize ? { package: dataset, resource: { id } } : { id, fields: [], records: [] };
  send(response, 200, { success: true, result });
}

function send(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json;charset=utf-8' });
  response.end(JSON.stringify(body));
}

/** Answer wrongly, or never. */
const wrongly: Readonly<Record<CkanFault, (response: http.ServerResponse) => void>> = {
  blackhole: () => undefined,
  reset: (response) => response.socket?.resetAndDestroy(),
  error: (response) => response.writeHead(500, { 'content-type': 'text/html' }).end('Internal server error'),
  html: (response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Please log in</html>'),
  redirect: (response) => response.writeHead(302, { location: '/user/login' }).end(),
  lie: (response) => send(response, 200, { success: false, result: null }),
  huge: (response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    flood(response);
  },
};

/** A body without end, at the reader's pace. */
function flood(response: http.ServerResponse): void {
  const piece = Buffer.alloc(65_536, '[');
  const pour = (): void => {
    while (!response.destroyed && response.write(piece));
    if (!response.destroyed) response.once('drain', pour);
  };
  pour();
}

/** Rights by the usual rules over tables whose state a test changes: `member` and `editor` belong to their organisation. */
export interface TableRights {
  private: boolean;
  state: 'active' | 'draft' | 'deleted';
}

export function rightsOver(tables: ReadonlyMap<string, TableRights>): Rights {
  return (who, _action, id) => {
    const table = tables.get(id);
    if (table === undefined) return 404;
    if (who === 'sysadmin' || who === 'member' || who === 'editor') return 200;
    return table.private || table.state !== 'active' ? 403 : 200;
  };
}

interface RecordedRight {
  readonly auth: string;
  readonly action: string;
  readonly id: string;
  readonly status: number;
}

interface RecordedCkan {
  readonly ckan_version: string;
  readonly users: Readonly<Record<string, string>>;
  readonly tables_without_resource: readonly string[];
}

/** The recorded CKAN of a corpus: what its API answered to each kind of caller (`permissions.jsonl`). */
export async function ckanOfCorpus(folder: string): Promise<CkanOptions> {
  const recorded = JSON.parse(
    await readFile(path.join(folder, 'ckan-resources.json'), 'utf8'),
  ) as RecordedCkan;
  const lines = (await readFile(path.join(folder, 'permissions.jsonl'), 'utf8'))
    .split('\n')
    .filter((line) => line !== '');
  const rights = new Map<string, number>();
  for (const line of lines) {
    const { auth, action, id, status } = JSON.parse(line) as RecordedRight;
    rights.set(`${auth}/${action}/${id}`, status);
  }
  const withoutResource = new Set(recorded.tables_without_resource);
  // What was not recorded of one caller was of another with the same rights.
  const sameAs: Readonly<Record<string, string>> = { editor: 'member', badtoken: 'anonymous' };
  return {
    version: recorded.ckan_version,
    users: Object.keys(recorded.users).filter((who) => who !== 'anonymous' && who !== 'badtoken'),
    permissions: (who, action, id) =>
      rights.get(`${who}/${action}/${id}`) ??
      rights.get(`${sameAs[who] ?? who}/${action}/${id}`) ??
      (who === 'sysadmin' && withoutResource.has(id) ? 200 : 404),
  };
}
