/**
 * A publishing process beside others: it says whose settings it works by, and stands aside while those of a later one
 * are in force, so that two versions side by side settle instead of publishing against each other (promise P5).
 */
import { profileFingerprint } from '../ckan/profile.ts';
import { errorMessage } from '../errors.ts';
import { createSettingsLeader } from '../state/precedence.ts';
import type { Publisher } from '../publish/publisher.ts';
import type { State } from '../state/state.ts';
import type { AppContext } from './context.ts';

export interface Standing {
  /** Publishes only while in force; else the table is left to the others. */
  readonly publisher: Publisher;
  /** The same state, whose turns this process takes only while in force. */
  readonly state: State;
  /** From now on hears each change: whether this process is in force. */
  follow(onChange: (inForce: boolean) => Promise<void>): void;
  stop(): void;
}

export interface StandingOptions {
  /** A process silent for this long has left; 60 unless given. */
  readonly silentSeconds?: number;
}

export async function electSettingsLeader(
  context: Pick<AppContext, 'config' | 'profiles' | 'log'>,
  { state, publisher }: { readonly state: State; readonly publisher: Publisher },
  { silentSeconds = 60 }: StandingOptions = {},
): Promise<Standing> {
  const { config, profiles, log } = context;
  const precedence = createSettingsLeader(state.pool, silentSeconds);
  let declared = { fingerprint: '', at: '' };
  let standsAside = false;
  let tell = async (_inForce: boolean): Promise<void> => undefined;

  /** Declares anew when CKAN has told another version; otherwise only keeps what was declared. */
  const inForce = oneAtATime(async (): Promise<boolean> => {
    const fingerprint = `${[...config.DUMPER_FORMATS].sort().join()}|${profileFingerprint(await profiles.known())}`;
    if (fingerprint !== declared.fingerprint)
      declared = { fingerprint, at: await precedence.acquire(fingerprint) };
    const kept = await precedence.renew(fingerprint, declared.at);
    if (kept === standsAside) {
      standsAside = !kept;
      const what = standsAside
        ? 'another process with other settings started later: standing aside'
        : 'the settings of this process are in force';
      log.warn({ settings: fingerprint }, what);
      await tell(kept).catch((error: unknown) => {
        // Else nobody would hear of it again: told anew by the next beat.
        standsAside = kept;
        throw error;
      });
    }
    return kept;
  });

  await inForce();
  const beat = setInterval(() => {
    inForce().catch((error: unknown) => log.debug({ reason: errorMessage(error) }, 'settings in force'));
  }, silentSeconds * 250);
  return {
    publisher: {
      ...publisher,
      publish: async (id, options) =>
        (await inForce()) ? publisher.publish(id, options) : { kind: 'superseded' },
    },
    state: {
      ...state,
      scheduleLocks: {
        ...state.scheduleLocks,
        run: async (name, occasion, work) =>
          (await inForce()) ? state.scheduleLocks.run(name, occasion, work) : false,
      },
    },
    follow: (onChange) => {
      tell = onChange;
    },
    stop: () => clearInterval(beat),
  };
}

/** Whoever asks while a question is under way shares its answer: changes are told in the order in which they were seen. */
function oneAtATime<Answer>(ask: () => Promise<Answer>): () => Promise<Answer> {
  let asking: Promise<Answer> | null = null;
  return () => {
    asking ??= ask().finally(() => {
      asking = null;
    });
    return asking;
  };
}
