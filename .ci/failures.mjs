/**
 * A reporter of vitest that writes down what failed, so that .ci/run can say it again at its end: tests, files and suites that
 * broke outside their tests, errors that nobody handled.
 *
 *   vitest run --reporter=./.ci/failures.mjs    writes to the file named by CI_FAILURES
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

const MOST_LINES = 15;
const LONGEST_LINE = 300;

export default class Failures {
  onTestRunEnd(modules, unhandled) {
    const file = process.env.CI_FAILURES;
    if (file === undefined) return;
    const failures = modules.flatMap((module) => [
      ...failure(module.relativeModuleId, module.errors()),
      ...[...module.children.allSuites()].flatMap((suite) => failure(nameOf(suite), suite.errors())),
      ...[...module.children.allTests('failed')].flatMap((test) => failure(nameOf(test), test.result().errors)),
    ]);
    writeFileSync(file, [...failures, ...unhandled.flatMap((error) => failure(whereabouts(error), [error]))].join(''));
  }
}

function nameOf(task) {
  return `${task.module.relativeModuleId} > ${task.fullName}`;
}

/** Of an error outside all tests: its kind, and what ran when it came, which need not be where it comes from. */
function whereabouts({ type, VITEST_TEST_PATH: path, VITEST_TEST_NAME: test }) {
  const kind = type === undefined ? '' : ` (${type})`;
  const ran = [...(path === undefined ? [] : [relative(process.cwd(), path)]), ...(test === undefined ? [] : [test])];
  return `outside all tests${kind}${ran.length === 0 ? '' : `, while ${ran.join(' > ')} ran`}`;
}

function failure(name, errors) {
  if (errors.length === 0) return [];
  const lines = errors.flatMap(linesOf).slice(0, MOST_LINES);
  return [`${[name, ...lines.map((line) => `    ${line.slice(0, LONGEST_LINE)}`)].join('\n')}\n`];
}

function linesOf({ name, message, stack, stacks, diff }) {
  // The stack of a serialized error begins with its message; places in our own files say more than it.
  const text = message === undefined ? (stack ?? 'no message') : `${name ?? 'Error'}: ${message}`;
  const at = (stacks ?? []).slice(0, 3).map((frame) => `at ${frame.file}:${frame.line}:${frame.column}`);
  return stripVTControlCharacters([text, ...at, diff ?? ''].join('\n'))
    .split('\n')
    .filter((line) => line.trim() !== '');
}
