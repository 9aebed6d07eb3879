/** For `globalSetup` of vitest: one PostgreSQL for all test files of a run, and gone after it. */
import { shareTestServer } from 'holdfast/testing';

export const setup = shareTestServer;
