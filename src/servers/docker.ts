/**
 * The last resort where neither binaries nor an installable package exist: a server in a container.
 */
import { keep, release, type Kept } from './keeper.ts';
import { output, runCommand } from './machine.ts';

/** True when a docker client is here and its engine answers. */
export function dockerAnswers(): boolean {
  return output('docker', ['version', '--format', '{{.Server.Version}}']) !== undefined;
}

export interface Container {
  signal(signal: 'SIGINT' | 'SIGQUIT' | 'SIGTERM' | 'SIGKILL'): void;
  start(): void;
  running(): boolean;
  log(): string;
  remove(): void;
}

/** Starts `image` with 127.0.0.1:`port` leading to `containerPort`. */
export function startContainer(options: {
  image: string;
  port: number;
  containerPort: number;
  env?: Readonly<Record<string, string>>;
  args: readonly string[];
}): Container {
  const name = `holdfast-${options.port}-${process.pid}`;
  const kept: Kept = { kind: 'container', id: name };
  const env = Object.entries(options.env ?? {}).flatMap(([key, value]) => ['-e', `${key}=${value}`]);
  keep(kept);
  runCommand(
    'docker',
    [
      'run',
      '-d',
      '--name',
      name,
      '-p',
      `127.0.0.1:${options.port}:${options.containerPort}`,
      ...env,
      options.image,
      ...options.args,
    ],
    {
      timeoutMs: 600_000,
    },
  );
  return {
    signal(signal) {
      if (!this.running()) return;
      runCommand('docker', ['kill', '-s', signal, name]);
      runCommand('docker', ['wait', name]);
    },
    start: () => void runCommand('docker', ['start', name]),
    running: () => output('docker', ['inspect', '-f', '{{.State.Running}}', name]) === 'true',
    log: () => output('docker', ['logs', '--tail', '8', name]) ?? '',
    remove() {
      runCommand('docker', ['rm', '-f', '-v', name]);
      release(kept);
    },
  };
}
