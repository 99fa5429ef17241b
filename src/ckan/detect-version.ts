/** Which version's bytes to give: as set, or as CKAN tells, asked again now and then since portals are upgraded. */
import type { Ckan } from './client.ts';
import { ckanProfile, type CkanProfile, type CkanVersion } from './profile.ts';
import { DumperError } from '../errors.ts';
import type { Log } from '../log.ts';
import { retry } from '../async/retry.ts';

export interface ProfileDetector {
  /** Null until CKAN has told its version. */
  current(): CkanProfile | null;
  /** The same, as soon as the version is known. */
  known(): Promise<CkanProfile>;
}

/** The settings that decide the profile, by their own names. */
interface ProfileSettings {
  readonly DUMPER_CKAN_VERSION: CkanVersion | 'auto';
  readonly CKAN__DATASTORE__MS_IN_TIMESTAMP: boolean | undefined;
}

interface ProfileDetectorOptions {
  readonly signal: AbortSignal;
  /** Pause between two questions; five minutes unless given. */
  readonly againMilliseconds?: number;
  /** How long `known` waits for CKAN: without an end unless given, as the service does. */
  readonly patienceSeconds?: number;
}

export function createProfileDetector(
  config: ProfileSettings,
  ckan: Ckan | null,
  log: Log,
  { signal, againMilliseconds = 300_000, patienceSeconds }: ProfileDetectorOptions,
): ProfileDetector {
  const settings = { msInTimestamp: config.CKAN__DATASTORE__MS_IN_TIMESTAMP };
  const fixed = config.DUMPER_CKAN_VERSION;
  if (fixed !== 'auto' || ckan === null) {
    const profile = ckanProfile(fixed === 'auto' ? '2.12' : fixed, settings);
    return { current: () => profile, known: async () => profile };
  }
  let profile: CkanProfile | null = null;
  const learn = async (): Promise<CkanProfile> => {
    const ckanVersion = await readCkanVersion(ckan);
    if (ckanVersion === null) throw new DumperError('CKAN_UNAVAILABLE', 'CKAN does not tell its version');
    const version = profileVersion(ckanVersion);
    if (profile?.version !== version) log.info({ ckanVersion, profile: version }, 'CKAN told its version');
    profile = ckanProfile(version, settings);
    return profile;
  };
  const known = retry(learn, {
    what: "CKAN's version",
    log,
    signal: withDeadline(signal, patienceSeconds),
  }).catch((error: unknown) => {
    if (signal.aborted) throw error;
    const cause = { cause: error };
    throw new DumperError(
      'CKAN_UNAVAILABLE',
      'CKAN does not tell its version; DUMPER_CKAN_VERSION can',
      cause,
    );
  });
  known.catch(() => undefined);
  const again = setInterval(() => void learn().catch(() => undefined), againMilliseconds).unref();
  signal.addEventListener('abort', () => clearInterval(again), { once: true });
  return { current: () => profile, known: async () => profile ?? known };
}

/** What CKAN tells of itself (`status_show`), such as `2.12.0`; null where it keeps its version back. */
export async function readCkanVersion(ckan: Ckan): Promise<string | null> {
  const answer = await ckan.ask({ action: 'status_show', parameters: {}, credentials: {}, method: 'GET' });
  if (answer.kind === 'unavailable') throw new DumperError('CKAN_UNAVAILABLE', answer.reason);
  const version = (answer.result as { ckan_version?: unknown } | null | undefined)?.ckan_version;
  return typeof version === 'string' ? version : null;
}

function withDeadline(signal: AbortSignal, seconds: number | undefined): AbortSignal {
  return seconds === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]);
}

/** The nearest profile: CKAN 2.12 changed the dump; what is newer is taken for 2.12, what is older for 2.11. */
function profileVersion(ckanVersion: string): CkanVersion {
  const [major = 0, minor = 0] = ckanVersion.split('.').map((part) => Number.parseInt(part, 10));
  return major > 2 || (major === 2 && minor >= 12) ? '2.12' : '2.11';
}
