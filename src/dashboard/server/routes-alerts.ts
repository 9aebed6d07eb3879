/**
 * The route of what is alerting.
 */
import { look, type ApiRoute } from './api-route.ts';
import { RequestRefusal } from './failure.ts';

const alerts = look({
  path: '/api/alerts',
  summary:
    'What is alerting: since when, when it was told, for how long it is quiet, and who watches. As old as the overview.',
  answers: 'AlertsView',
  async handle(_request, services) {
    const { alerts: found } = await services.overview.latest();
    if (found !== null) return found;
    throw new RequestRefusal(
      403,
      'HF_PERMISSION',
      'The role of the database may not read alerts, or they are not there yet.',
      {
        advice: 'Grant it SELECT on the tables alert and alert_round (docs/roles.md), after holdfast migrate.',
      },
    );
  },
});

export const ALERT_ROUTES: readonly ApiRoute[] = [alerts];
