import express from 'express';
import { describe, HttpError } from './errors.js';
import { greeting } from './greeting.js';
import { todoRoutes } from './todos.js';

/** The web application: the API on the given store and, where a static folder is given, the built client. */
export function createApp({ store, staticFolder, log = console.error }) {
  const app = express();
  app.disable('x-powered-by');
  app.use('/api', createApi(store, log));
  if (staticFolder) app.use(express.static(staticFolder));
  return app;
}

function createApi(store, log) {
  const api = express.Router();
  api.use(express.json());

  api.get('/greeting', (request, response) => {
    response.json({ greeting });
  });
  api.get('/health', async (request, response) => {
    await store.ping();
    response.json({ status: 'ok' });
  });
  api.use('/todos', todoRoutes(store));

  api.use((request) => {
    throw new HttpError(404, `There is no ${request.method} ${request.originalUrl}.`);
  });
  api.use((error, request, response, next) => {
    if (response.headersSent) return next(error);
    const { status, message } = describe(error);
    if (status >= 500) log(`${request.method} ${request.originalUrl}:`, error);
    return response.status(status).json({ error: message });
  });
  return api;
}
