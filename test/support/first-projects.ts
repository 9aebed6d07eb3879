/** What `holdfast init` offers, for those who try all of it. */
import { BROKERS, FRAMEWORKS, ORMS, partsOf, type ProjectChoices } from '../../src/cli/init/parts.ts';

export function everyProject(): readonly ProjectChoices[] {
  return FRAMEWORKS.flatMap((framework) =>
    ORMS.flatMap((orm) => BROKERS.map((broker): ProjectChoices => ({ framework, orm, broker }))),
  );
}

/** As few as have each choice once. All of them are compiled by the tests, so a part that does not fit another one is found there. */
export function eachChoiceOnce(): readonly ProjectChoices[] {
  const most = Math.max(FRAMEWORKS.length, ORMS.length, BROKERS.length);
  const at = <T>(choices: readonly T[], index: number): T => choices[index % choices.length] as T;
  return Array.from({ length: most }, (_, index) => ({
    framework: at(FRAMEWORKS, index),
    orm: at(ORMS, index),
    broker: at(BROKERS, index),
  }));
}

/** Version by name: what any of these projects needs beside Holdfast. */
export function packagesOf(projects: readonly ProjectChoices[]): Readonly<Record<string, string>> {
  const parts = projects.flatMap(partsOf);
  return Object.assign({}, ...parts.flatMap((part) => [part.dependencies, part.devDependencies])) as Record<
    string,
    string
  >;
}
