import { createApp } from './app.js';
import { readConfig } from './config.js';
import { openStore } from './store/index.js';

const GRACE_MS = 3_000;

const config = readConfig(process.env);
const store = await openStore(config);
const app = createApp({ store, staticFolder: config.staticFolder });

const server = app.listen(config.port, config.address, (error) => {
  if (error) {
    console.error(`The server cannot start: ${error.message}`);
    process.exit(1);
  }
  const place = config.mysql ? `MySQL on ${config.mysql.host}` : config.sqliteFile;
  console.log(`Listening on http://${config.address}:${server.address().port}, todos in ${place}`);
});

function stop() {
  server.close(async () => {
    await store.close();
    process.exit(0);
  });
  setTimeout(() => server.closeAllConnections(), GRACE_MS).unref();
}

process.once('SIGTERM', stop);
process.once('SIGINT', stop);
