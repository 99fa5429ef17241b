/** Whose bytes to give: as set, or as CKAN tells of itself, asked again now and then since portals are upgraded. */
import { askVersion, type Ckan } from './client.ts';
import { ckanProfile, type CkanProfile, type CkanVersion } from './profile.ts';
import type { Config } from '../config/config.ts';
import { DumperError } from '../errors.ts';
import type { Log } from '../log.ts';
import { retry } from '../async/retry.ts';

export interface ProfileDetector {
  /** Null until CKAN has told its version. */
  current(): CkanProfile | null;
  /** The same, as soon as the version is known. */
  known(): Promise<CkanProfile>;
}

export interface ProfileDetectorOptions {
  readonly signal: AbortSignal;
  /** Pause between two questions; five minutes unless given. */
  readonly againMilliseconds?: number;
  /** How long `known` waits for CKAN: without an end unless given, as the service does. */
  readonly patienceSeconds?: number;
}

export function createProfileDetector(
  config: Config,
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
    const told = await askVersion(ckan);
    if (told === null) throw new DumperError('CKAN_UNAVAILABLE', 'CKAN does not tell its version');
    const version = profileVersion(told);
    if (profile?.version !== version) log.info({ ckan: told, profile: version }, 'CKAN told its version');
    profile = ckanProfile(version, settings);
    return profile;
  };
  const known = retry(learn, {
    what: "CKAN's version",
    log,
    signal: patience(signal, patienceSeconds),
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

function patience(signal: AbortSignal, seconds: number | undefined): AbortSignal {
  return seconds === undefined ? signal : AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]);
}

/** The nearest profile: CKAN 2.12 changed the dump; what is newer is taken for 2.12, what is older for 2.11. */
function profileVersion(told: string): CkanVersion {
  const [major = 0, minor = 0] = told.split('.').map((part) => Number.parseInt(part, 10));
  return major > 2 || (major === 2 && minor >= 12) ? '2.12' : '2.11';
}
