/**
 * The dashboard as a part of a daemon. It says nothing about whether the other parts are well.
 */
import { createDashboard, type DashboardOptions } from '../../dashboard/dashboard.ts';
import { createDashboardServer } from '../../dashboard/server/http-server.ts';
import { createLifecycle } from '../../runtime/lifecycle.ts';
import type { DashboardSettings } from '../config/resolve-dashboard.ts';
import type { DaemonKit, DaemonPart } from './daemon.ts';

export function dashboardPart(
  { host, port, basePath, options }: DashboardSettings,
  more: Pick<DashboardOptions, 'sagas' | 'doctor'>,
): (kit: DaemonKit) => DaemonPart {
  return ({ database, log: ofAll }) => {
    const log = ofAll.child({ part: 'dashboard' });
    const { start, stop } = createLifecycle({
      make: () => {
        const page = createDashboard({ ...options, ...more, database, basePath, log });
        return { page, server: createDashboardServer({ handler: page.nodeHandler, host, port, basePath, log }) };
      },
      start: ({ server }) => server.start(),
      async stop({ page, server }) {
        // Pages that are open would hold up the server.
        await page.close();
        await server.stop();
      },
    });
    return {
      service: { start, stop },
      live: () => ({ ok: true, body: {} }),
      ready: () => ({ reasons: [], body: {} }),
      gauges: { refresh: () => Promise.resolve() },
      name: 'dashboard',
      whenForced: 'open pages of the dashboard are cut off',
    };
  };
}
