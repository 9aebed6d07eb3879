/**
 * Finds a Redis or Valkey server binary; as root on Debian and its kin, installs one.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { output, runCommand } from './machine.ts';

const NAMES = ['redis-server', 'valkey-server'];
const MORE_FOLDERS = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin', '/home/linuxbrew/.linuxbrew/bin'];

/** The path of a server binary on this machine that runs. */
export function systemRedis(): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...MORE_FOLDERS];
  const paths = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)));
  return paths.find((path) => existsSync(path) && output(path, ['--version']) !== undefined);
}

/** True where `apt-get install` can be run: root, on a system with apt. */
export function aptIsOurs(): boolean {
  return process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
}

const POLICY = '/usr/sbin/policy-rc.d';

/** Installs Debian's redis-server without letting it start a system service. */
export function installRedisByApt(): string | undefined {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]): void =>
    void runCommand('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-qq', ...args], { env, timeoutMs: 600_000 });
  const policyIsOurs = !existsSync(POLICY);
  if (policyIsOurs) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    apt('update');
    apt('install', '-y', '--no-install-recommends', 'redis-server');
  } finally {
    if (policyIsOurs) rmSync(POLICY, { force: true });
  }
  return systemRedis();
}
