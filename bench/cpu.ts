/** Processor time of the processes that a benchmark started, by program (Linux: proc(5), `/proc/<pid>/stat`). */
import { readdirSync, readFileSync } from 'node:fs';

/** Ticks a second of `/proc` (`getconf CLK_TCK`): 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly program: string;
  /** Its own, and that of its children that ended and were waited for. */
  readonly seconds: number;
}

function allProcesses(): Process[] {
  return readdirSync('/proc').flatMap((name) =>
    /^\d+$/.test(name) ? (readProcess(Number(name)) ?? []) : [],
  );
}

function readProcess(pid: number): Process | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const ticks = fields.slice(11, 15).reduce((sum, value) => sum + value, 0);
    const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
    // Node names its main thread so.
    const program = name === 'MainThread' ? 'service' : name;
    return { pid, parent: fields[1] ?? 0, program, seconds: ticks / ticksPerSecond };
  } catch {
    return null;
  }
}

/** Seconds by program of all that descend from this process and still live; this process is not among them. */
export function cpuByProgram(): ReadonlyMap<string, number> {
  const everyone = Map.groupBy(allProcesses(), ({ parent }) => parent);
  const seconds = new Map<string, number>();
  const visit = (parent: number): void => {
    for (const child of everyone.get(parent) ?? []) {
      seconds.set(child.program, (seconds.get(child.program) ?? 0) + child.seconds);
      visit(child.pid);
    }
  };
  visit(process.pid);
  return seconds;
}

/** What each program cost between two looks; programs that cost nothing are left out. */
export function cpuSpent(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): Record<string, number> {
  return Object.fromEntries(
    Array.from(
      after,
      ([program, seconds]) => [program, seconds - (before.get(program) ?? 0)] as const,
    ).filter(([, seconds]) => seconds > 0.005),
  );
}

/** Peak memory of a living process, in bytes. */
export function peakRssBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}
