/**
 * What `doctor --front` examines: the portal's web server, from outside, as people reach it. Does it send dumps and blobs
 * to the service, by HTTP/1.1, with the caller's cookies and the address as it was sent, and does it wait and fall back
 * as the recipes of `docs/fronts` do?
 *
 * What can be seen in ordinary answers is seen there. The rest the service tells, asked by a signed question
 * (`front-probe.ts`).
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { AppContext } from '../../app/context.ts';
import type { Config } from '../../config/config.ts';
import { DumperError } from '../../errors.ts';
import { probeHeader, probeSeenHeader, signFrontProbe, longBytes } from '../../front-probe.ts';
import type { FrontProbe } from '../../front-probe.ts';
import { allTables } from '../../postgres/revision.ts';
import { blobsRoute } from '../../signed-path.ts';
import type { Examination, LeftOut } from './examination.ts';

const dumps = 'front, dumps';
const seen = 'front, requests';
const asInRecipe = 'compare the web server with the recipe in docs/fronts';

export function examinationsOfFront(context: AppContext, front: string): Examination[] {
  const { config, store } = context;
  const unsigned =
    signFrontProbe(config, 'seen', new Date()) === null
      ? 'neither DUMPER_ADMIN_TOKEN nor DUMPER_NOTICE_SECRET is set, so that the service tells nobody'
      : null;
  const noRoute = store?.kind === 'directory' ? null : 'blobs do not come from this service';
  const whole = { leftOut: null, needs: [dumps] };
  const signed = { leftOut: unsigned, needs: [dumps] };
  return [
    {
      subject: dumps,
      examine: (signal) => examineAddresses(front, signal),
      advice: `${asInRecipe}: /datastore/dump/, with a language in front too, must lead to the service`,
      leftOut: null,
    },
    {
      subject: 'front, a table',
      examine: (signal) => examineTable(context, front, signal),
      advice:
        'the address of a redirect must be one that people can reach: DUMPER_BASE_URL, AWS_ENDPOINT_URL_S3',
      ...whole,
    },
    {
      subject: 'front, blobs',
      examine: (signal) => examineBlobs(front, signal),
      advice: `${asInRecipe}: ${blobsRoute} must lead to the service, as the blobs lie in a directory`,
      ...whole,
      leftOut: noRoute,
    },
    {
      subject: seen,
      examine: (signal) => examineRequest(config, front, signal),
      advice: `${asInRecipe}: proxy_http_version 1.1, the caller's headers and cookies, the address unchanged`,
      ...signed,
    },
    {
      subject: 'front, fallback',
      examine: (signal) => examineFallback(config, front, signal),
      advice: `${asInRecipe}: a 503 with X-Dump-Fallback: yes is for CKAN to answer`,
      ...signed,
      needs: [dumps, seen],
    },
    {
      subject: 'front, buffering',
      examine: (signal) => examineBuffering(config, front, signal),
      advice: `${asInRecipe}: proxy_buffering and proxy_max_temp_file_size where people are answered`,
      ...signed,
      needs: [dumps, seen],
    },
  ];
}

const wrong = (fault: string): DumperError => new DumperError('CONFIGURATION', fault);

/** A plain refusal of the service; CKAN's are pages. */
function isOurs({ headers }: Response): boolean {
  const isText = headers.get('content-type')?.startsWith('text/plain') === true;
  return isText && headers.has('x-request-id') && headers.get('x-content-type-options') === 'nosniff';
}

async function examineAddresses(front: string, signal: AbortSignal): Promise<string> {
  for (const [method, prefix] of [
    ['GET', ''],
    ['GET', '/en'],
    ['GET', '/pt_BR'],
    ['HEAD', ''],
  ] as const) {
    const path = `${prefix}/datastore/dump/${randomUUID()}`;
    const answer = await fetch(front + path, { method, redirect: 'manual', signal });
    await answer.body?.cancel();
    if (!isOurs(answer)) {
      throw wrong(`${method} ${path} is answered by something else than the service (${answer.status})`);
    }
  }
  return 'lead to the service, with and without a language in front, and by HEAD';
}

/** Tables that are tried until one is found that anonymous users may read. */
const tablesTried = 10;

async function examineTable(
  { readPool }: AppContext,
  front: string,
  signal: AbortSignal,
): Promise<string | LeftOut> {
  const ids = [...(await allTables(readPool)).keys()].slice(0, tablesTried);
  for (const id of ids) {
    const url = `${front}/datastore/dump/${encodeURIComponent(id)}`;
    const answer = await fetch(url, { redirect: 'manual', signal });
    await answer.body?.cancel();
    const source = answer.headers.get('x-dump-source');
    const location = answer.headers.get('location');
    if (source === null) continue;
    if (location === null) return `${id} is given (${answer.status}, ${source})`;
    const blob = await fetch(new URL(location, url), { headers: { Range: 'bytes=0-0' }, signal });
    await blob.body?.cancel();
    if (blob.ok || blob.status === 416) return `${id} is given by a redirect that leads to its blob`;
    throw wrong(`${id} is redirected to an address that answers ${blob.status}`);
  }
  return { leftOut: `none of the first ${ids.length} tables is given to anonymous users` };
}

async function examineBlobs(front: string, signal: AbortSignal): Promise<string> {
  const answer = await fetch(`${front}${blobsRoute}doctor`, { redirect: 'manual', signal });
  await answer.body?.cancel();
  if (isOurs(answer) && answer.status === 403) return 'lead to the service';
  throw wrong(`${blobsRoute} is answered by something else than the service (${answer.status})`);
}

/** A part of an address that a web server is apt to change: encoded signs, an encoded slash, a plus. */
const awkward = 'a%20b%C3%A9%2C?q=%2F+%C3%A9&format=csv';

function ask(
  config: Config,
  front: string,
  probe: FrontProbe,
  { signal, headers = {} }: { signal: AbortSignal; headers?: Record<string, string> },
): Promise<Response> {
  const signature = signFrontProbe(config, probe, new Date()) ?? '';
  return fetch(`${front}/datastore/dump/${awkward}`, {
    headers: { [probeHeader]: signature, ...headers },
    redirect: 'manual',
    signal,
  });
}

async function examineRequest(config: Config, front: string, signal: AbortSignal): Promise<string> {
  const [cookie = 'ckan'] = config.DUMPER_SESSION_COOKIES;
  const headers = { Cookie: `${cookie}=doctor`, Authorization: 'doctor' };
  const answer = await ask(config, front, 'seen', { signal, headers });
  await answer.body?.cancel();
  const told = answer.headers.get(probeSeenHeader);
  if (told === null) {
    const fault = 'the service does not know the question';
    throw wrong(
      `${fault}: it runs with other secrets or another clock, or the web server drops ${probeHeader}`,
    );
  }
  const request = new URLSearchParams(told);
  const version = request.get('http');
  const faults = [
    version === '1.1' ? [] : `reach the service by HTTP/${version}, in which a broken-off answer looks whole`,
    request.get('cookies')?.split(',').includes(cookie) ? [] : `lose the cookie ${cookie} on their way`,
    request.get('authorization') === 'yes' ? [] : 'lose the header Authorization on their way',
    request.get('target')?.endsWith(`/datastore/dump/${awkward}`)
      ? []
      : 'arrive with another address than was sent',
  ].flat();
  if (faults.length > 0) throw wrong(faults.join('; '));
  return "reach the service by HTTP/1.1, with the caller's cookies and the address as it was sent";
}

/** Only nginx's recipe can do all; what another server does not do is said, and is no fault. */
const isNginx = ({ headers }: Response): boolean => /nginx/i.test(headers.get('server') ?? '');

async function examineFallback(
  config: Config,
  front: string,
  signal: AbortSignal,
): Promise<string | LeftOut> {
  const answer = await ask(config, front, 'fallback', { signal });
  await answer.body?.cancel();
  if (answer.headers.get('x-dump-fallback') === 'yes' && isOurs(answer)) {
    if (isNginx(answer)) throw wrong('the 503 of the service is given to people, and CKAN is not asked');
    return { leftOut: 'the 503 of the service is given to people: Apache cannot ask CKAN instead' };
  }
  if (answer.status >= 500) throw wrong(`CKAN was to answer, but did not (${answer.status})`);
  return `CKAN answers where the service says so (${answer.status})`;
}

/** How long the answer is left unread: longer than it takes a web server that keeps it. */
const readerPauseMilliseconds = 3000;

async function examineBuffering(
  config: Config,
  front: string,
  signal: AbortSignal,
): Promise<string | LeftOut> {
  const answer = await ask(config, front, 'long', { signal });
  await delay(readerPauseMilliseconds, undefined, { signal });
  const told = Buffer.from(await answer.arrayBuffer())
    .subarray(longBytes)
    .toString();
  const milliseconds = told === '' ? Number.NaN : Number(told);
  if (milliseconds < readerPauseMilliseconds * 0.9)
    return 'the web server waits for slow readers in place of the service';
  if (Number.isNaN(milliseconds)) throw wrong(`a long answer arrives broken (${answer.status})`);
  if (!isNginx(answer))
    return { leftOut: 'the service waits for slow readers itself, as it does behind Apache' };
  throw wrong('nginx keeps nothing for slow readers: each of them holds a live slot of the service');
}
