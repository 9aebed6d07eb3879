/**
 * `holdfast completion bash | zsh | fish`: the script that tells the shell which verbs and flags there are.
 */
import type { Command } from 'commander';
import { completionScript, SHELLS } from '../completion/scripts.ts';
import { completionPlaces } from '../completion/tree.ts';
import type { VerbReport } from '../output/report.ts';

/** Commander has refused other shells. */
export async function completion(program: Command, [name = '']: readonly string[]): Promise<VerbReport> {
  const shell = SHELLS.find((each) => each === name) ?? 'bash';
  const script = completionScript(shell, completionPlaces(program));
  return { json: { shell, script }, text: () => script };
}
