/** What `doctor` examines of the portal's other services: CKAN, the token by which CKAN takes task status, Redis. */
import type { AppContext } from '../../app/context.ts';
import { checkCkan } from '../../app/readiness.ts';
import { DumperError } from '../../errors.ts';
import type { Examination } from './examination.ts';

const ckanSubject = 'CKAN';

export function examinationsOfPortal(context: AppContext): Examination[] {
  const { config, ckan } = context;
  const { CKAN_API_TOKEN: token, CKAN_REDIS_URL: redisUrl } = config;
  const noToken = 'CKAN_API_TOKEN is not set: CKAN is told no task status';
  const noRedis = 'CKAN_REDIS_URL is not set: each replica asks CKAN for itself';
  return [
    {
      subject: ckanSubject,
      examine: () => checkCkan(ckan),
      advice: 'check CKAN_SITE_URL; it must answer /api/3/action/status_show without a login page in front',
      leftOut: config.DUMPER_AUTHORIZE === 'off' ? 'DUMPER_AUTHORIZE=off: everything is public' : null,
    },
    {
      subject: 'CKAN API token',
      examine: () => examineToken(context, token ?? ''),
      advice: "check CKAN_API_TOKEN and CKAN__APITOKEN_HEADER_NAME; a sysadmin's token that has not expired",
      leftOut: token === undefined ? noToken : ckan === null ? 'CKAN_SITE_URL is not set' : null,
      needs: [ckanSubject],
    },
    {
      subject: 'Redis',
      examine: (signal) => examineRedis(redisUrl ?? '', signal),
      advice: 'check CKAN_REDIS_URL; dumps are answered without Redis too, but replicas share no decisions',
      leftOut: redisUrl === undefined ? noRedis : null,
    },
  ];
}

/** `config_option_list` changes nothing and is, like `task_status_update`, a sysadmin's alone (CKAN 2.9 to 2.12). */
async function examineToken({ config, ckan }: AppContext, token: string): Promise<string> {
  const answer = await ckan?.ask({
    action: 'config_option_list',
    parameters: {},
    credentials: { [config.CKAN__APITOKEN_HEADER_NAME]: token },
    method: 'POST',
  });
  if (answer?.kind === 'answer' && answer.status === 200) return "it is a sysadmin's";
  if (answer?.kind === 'answer') {
    const fault = 'it is wrong, has expired, or is of a user who is no sysadmin';
    throw new DumperError('CONFIGURATION', `CKAN refuses it (${answer.status}): ${fault}`);
  }
  throw new DumperError('CKAN_UNAVAILABLE', answer?.reason ?? 'CKAN_SITE_URL is not set');
}

async function examineRedis(url: string, signal: AbortSignal): Promise<string> {
  const { createClient } = await import('redis');
  const client = createClient({
    url,
    disableOfflineQueue: true,
    socket: { connectTimeout: 5000, reconnectStrategy: false },
  });
  client.on('error', () => undefined);
  const end = (): void => {
    if (client.isOpen) client.destroy();
  };
  signal.addEventListener('abort', end, { once: true });
  try {
    await client.connect();
    await client.ping();
    return 'answers';
  } finally {
    signal.removeEventListener('abort', end);
    end();
  }
}
