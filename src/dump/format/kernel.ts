/** The compiled kernel (`kernel.as.ts`, by `npm run build:kernel`), one instance with a memory of its own a formatter. */
import { readFileSync } from 'node:fs';

/** As much of the WebAssembly JavaScript interface (W3C) as is used here; TypeScript knows it only with the DOM. */
interface WebAssemblyInterface {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Memory: new (descriptor: { initial: number }) => KernelInstance['memory'];
  readonly Instance: new (
    module: object,
    imports: { env: { memory: KernelInstance['memory'] }; host: Host },
  ) => { readonly exports: unknown };
}
const { Module, Memory, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyInterface })
  .WebAssembly;

/** What the kernel asks of its host; formats by their slots, columns by their index. */
interface Host {
  emit(slot: number, start: number, length: number): void;
  spellFloat(start: number, length: number, out: number): number;
  nest(slot: number, column: number, start: number, end: number, quoted: number, out: number): number;
}

/** What the kernel exports. */
export interface Kernel {
  readonly rows: { readonly value: number };
  readonly state: { readonly value: number };
  configure(...settings: number[]): void;
  configureOutput(slot: number, start: number, limit: number, literals: number): void;
  run(input: number, length: number): number;
}

export interface KernelInstance {
  readonly kernel: Kernel;
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
}

export const pageBytes = 65_536;

let compiled: object | undefined;

export function startKernel(pages: number, host: Host): KernelInstance {
  compiled ??= new Module(readFileSync(new URL('./kernel.wasm', import.meta.url)));
  const memory = new Memory({ initial: pages });
  const instance = new Instance(compiled, { env: { memory }, host });
  return { kernel: instance.exports as Kernel, memory };
}
