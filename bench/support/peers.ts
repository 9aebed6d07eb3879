/**
 * The figures of other libraries on the server of this bench run, when they are installed (bench/peers). Each library runs in
 * processes and databases of its own; see bench/peers/README.md.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type Peer = 'dbos' | 'openworkflow' | 'absurd';

/** One line of bench/peers/run.mjs. Times are of one run, in ms, from its start until its result is known. */
export interface PeerFigure {
  /** peer.NAME.INFLIGHT */
  readonly bench: string;
  /** Runs a second. */
  readonly value: number;
  readonly unit: 'runs/s';
  /** Steps a second. */
  readonly steps: number;
  readonly p50: number;
  readonly p99: number;
  readonly runs: number;
  /** Of the library. */
  readonly version: string;
}

export interface PeersAsked {
  /** Of any database of the server, with the right to make databases. */
  readonly url: string;
  readonly inflight: number;
  readonly quick: boolean;
  /** Default: all that can run. */
  readonly only?: readonly Peer[];
}

const INSIDE = join('bench', 'peers');

/** The peers' figures, none when they are not installed. A peer that fails fails the whole. */
export async function measurePeers({ url, inflight, quick, only }: PeersAsked): Promise<readonly PeerFigure[]> {
  const folder = installedPeers();
  if (folder === undefined) return [];
  const args = ['run.mjs', '--json', '--url', url, '--inflight', String(inflight)];
  if (quick) args.push('--quick');
  if (only !== undefined) args.push('--only', only.join(','));
  const child = spawn(process.execPath, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = (): void => {
    child.kill();
  };
  process.once('exit', stop);
  const exit = once(child, 'exit') as Promise<[number | null]>;
  const figures: PeerFigure[] = [];
  for await (const line of createInterface({ input: child.stdout })) figures.push(JSON.parse(line) as PeerFigure);
  const [code] = await exit;
  process.off('exit', stop);
  if (code !== 0) throw new Error(`bench/peers ended with ${code}`);
  return figures;
}

export function arePeersInstalled(): boolean {
  return installedPeers() !== undefined;
}

/** The one with the most runs a second. */
export function bestPeer(figures: readonly PeerFigure[]): PeerFigure | undefined {
  return figures.toSorted((a, b) => b.value - a.value)[0];
}

/** bench/peers of the project, if its libraries are there. This file runs from the project's sources and from a compiled copy below. */
function installedPeers(): string | undefined {
  let folder = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const peers = join(folder, INSIDE);
    if (existsSync(join(peers, 'run.mjs'))) return existsSync(join(peers, 'node_modules')) ? peers : undefined;
    const above = dirname(folder);
    if (above === folder) return undefined;
    folder = above;
  }
}
