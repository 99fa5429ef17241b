/**
 * Whose bytes to give: the version that the settings name, or the one that CKAN tells of itself (`auto`), asked in the
 * background until it answers and then now and again, so that the service starts before CKAN and outlives its upgrade.
 */
import { askVersion, type Ckan } from '../ckan.ts';
import { ckanProfile, ckanVersions, type CkanProfile, type CkanVersion } from '../ckan-profile.ts';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';

export interface VersionWatch {
  readonly profile: () => CkanProfile | null;
  stop(): void;
}

const retryMilliseconds = 1000;
const againMilliseconds = 60_000;

export function watchVersion(
  config: Pick<Config, 'DUMPER_CKAN_VERSION' | 'CKAN__DATASTORE__MS_IN_TIMESTAMP'>,
  ckan: Ckan | null,
  log: Log,
): VersionWatch {
  const profileOf = (version: CkanVersion): CkanProfile =>
    ckanProfile(version, { msInTimestamp: config.CKAN__DATASTORE__MS_IN_TIMESTAMP });
  const setting = config.DUMPER_CKAN_VERSION;
  if (setting !== 'auto') return fixed(profileOf(setting));
  // Without a CKAN to ask (demo), the newest.
  if (ckan === null) return fixed(profileOf('2.12'));
  let known: { readonly told: string; readonly profile: CkanProfile } | null = null;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const look = async (): Promise<void> => {
    const told = await askVersion(ckan);
    if (stopped) return;
    if (told !== null && told !== known?.told) {
      known = { told, profile: profileOf(profileVersionOf(told)) };
      log.info({ told, given: known.profile.version }, 'CKAN told its version');
    }
    timer = setTimeout(() => void look(), told === null ? retryMilliseconds : againMilliseconds);
    timer.unref();
  };
  void look();
  return {
    profile: () => known?.profile ?? null,
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

function fixed(profile: CkanProfile): VersionWatch {
  return { profile: () => profile, stop: () => undefined };
}

/** Older than the oldest known is given as the oldest, newer than the newest as the newest. */
function profileVersionOf(told: string): CkanVersion {
  const [major = 0, minor = 0] = told.split('.').map((part) => Number.parseInt(part, 10));
  return major > 2 || (major === 2 && minor >= 12) ? ckanVersions[1] : ckanVersions[0];
}
