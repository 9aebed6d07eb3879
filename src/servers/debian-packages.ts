/**
 * Finds the binaries of servers on this machine; as root on Debian and its kin, installs the package that has them.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { output, runCommand } from './machine.ts';

const MORE_FOLDERS = ['/usr/bin', '/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin', '/home/linuxbrew/.linuxbrew/bin'];

/**
 * The path of the first binary of one of these names that runs.
 *
 * @param runs arguments with which it says something and ends well
 */
export function systemBinary(names: readonly string[], runs: readonly string[] = ['--version']): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter).filter(Boolean), ...MORE_FOLDERS];
  const paths = folders.flatMap((folder) => names.map((name) => join(folder, name)));
  return paths.find((path) => existsSync(path) && output(path, [...runs]) !== undefined);
}

/** True where `apt-get install` can be run: root, on a system with apt. */
export function aptIsOurs(): boolean {
  return process.getuid?.() === 0 && existsSync('/usr/bin/apt-get');
}

const POLICY = '/usr/sbin/policy-rc.d';

/** Installs packages of Debian's without letting them start a system service. Throws what apt-get says. */
export function installByApt(packages: readonly string[]): void {
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]): void =>
    void runCommand('apt-get', ['-o', 'DPkg::Lock::Timeout=300', '-qq', ...args], { env, timeoutMs: 600_000 });
  const policyIsOurs = !existsSync(POLICY);
  if (policyIsOurs) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    apt('update');
    apt('install', '-y', '--no-install-recommends', ...packages);
  } finally {
    if (policyIsOurs) rmSync(POLICY, { force: true });
  }
}
