/** Where a command speaks, and what it is spoken through: streams of the process, given by `main.ts`. */

/** Where a command speaks: results to standard output, everything else to standard error. */
export interface Output {
  /** Standard output is a terminal: bars and colours are welcome. */
  readonly terminal: boolean;
  /** Width of the terminal; 80 in a pipe. */
  readonly columns: number;
  /** Results are wanted as JSON, one object a line. */
  readonly json: boolean;
  /** One line of result; the line end is added. */
  line(text: string): void;
  /** One line for the person watching; the line end is added. */
  notice(text: string): void;
}

/** What the process gives: streams, its abort signal, its version. */
export interface Terminal {
  readonly stdout: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly signal: AbortSignal;
  readonly version: string;
}

export function outputOn({ stdout, stderr }: Terminal, json: boolean): Output {
  return {
    terminal: stdout.isTTY === true,
    columns: stdout.columns ?? 80,
    json,
    line: (text) => void stdout.write(`${text}\n`),
    notice: (text) => void stderr.write(`${text}\n`),
  };
}
