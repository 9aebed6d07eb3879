/** `holdfast completion` in the shells themselves: bash always, zsh and fish where they are installed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { holdfast } from './process.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];
const isInstalled = (shell: Shell): boolean => spawnSync(shell, ['--version']).status === 0;

let folder: string;
const scripts = new Map<Shell, string>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-completion-'));
  for (const shell of SHELLS) {
    const { code, stdout, stderr } = await holdfast(['completion', shell], { env: {} });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const script = join(folder, `holdfast.${shell}`);
    writeFileSync(script, stdout);
    scripts.set(shell, script);
  }
  writeFileSync(join(folder, 'saga.config.ts'), '');
});
afterAll(() => rmSync(folder, { recursive: true }));

/** How each shell is asked what can follow: the last word is the one under the cursor. */
const ASK: Readonly<Record<Shell, string>> = {
  bash: `COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); source "$SCRIPT"; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`,
  // The functions of its completion system say what they would be given.
  zsh: `compdef() { : }; _files() { print -l *(N) }; _describe() { print -l -- \${\${(P)argv[-1]}%%:*} }
    words=("$@"); CURRENT=$#; source "$SCRIPT"; _holdfast`,
  fish: `source $SCRIPT; complete -C (string join ' ' -- $argv) | string replace -r '\\t.*' ''; true`,
};

function complete(shell: Shell, ...words: readonly string[]): readonly string[] {
  const args = { bash: ['--norc', '-c', ASK.bash, 'bash'], zsh: ['-fc', ASK.zsh, 'zsh'], fish: ['-N', '-c', ASK.fish] }[
    shell
  ];
  const output = execFileSync(shell, [...args, 'holdfast', ...words], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder, SCRIPT: scripts.get(shell) },
    encoding: 'utf8',
  });
  return output.split('\n').filter((line) => line !== '');
}

describe.each(SHELLS.filter((shell) => shell === 'bash' || isInstalled(shell)))('the completion of %s', (shell) => {
  it('has the verbs, and those of a group', () => {
    expect(complete(shell, '')).toEqual(expect.arrayContaining(['relay', 'saga', 'import', 'completion']));
    expect(complete(shell, 'saga', '')).toEqual(expect.arrayContaining(['ls', 'show', 'retry']));
    expect(complete(shell, 'saga', '')).not.toContain('relay');
    expect(complete(shell, 'completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
  });

  it('has the flags of the verb, and of no other', () => {
    const flags = complete(shell, 'outbox', 'replay', '--');
    expect(flags).toEqual(expect.arrayContaining(['--since', '--dry-run', '--json']));
    expect(flags).not.toContain('--sagas');
  });

  it('passes by the values of flags, also when they are called like a verb', () => {
    expect(complete(shell, 'migrate', '--schema', 'status', '--')).toContain('--dry-run');
    expect(complete(shell, 'migrate', 'status', '--')).not.toContain('--dry-run');
    expect(complete(shell, '--config', 'saga', '')).toContain('saga');
  });

  it('names files where a value is wanted', () => {
    expect(complete(shell, 'relay', '--config', '')).toContain('saga.config.ts');
  });
});

it('refuses a shell that it does not know', async () => {
  const { code, stderr } = await holdfast(['completion', 'tcsh'], { env: {} });
  expect(code).toBe(2);
  expect(stderr).toMatch(/bash, zsh, fish/);
});
