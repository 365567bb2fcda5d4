/** A primary whose workers never come to serve: `node silent-cluster.mjs <cluster/primary.js>`. */
import cluster from 'node:cluster';

const { runPrimary } = await import(process.argv[2]);
if (cluster.isWorker) setInterval(() => {}, 1_000);
else {
  const said = [];
  const say = (_fields, text) => said.push(text);
  const log = { debug: say, info: say, warn: say, error: say };
  const ignore = () => {};
  const options = {
    size: 2,
    startMs: 300,
    drainMs: 300,
    log,
    onServing: ignore,
    onDraining: ignore,
  };
  const code = await runPrimary(options);
  process.stdout.write(JSON.stringify({ code, said }));
  process.exit(code);
}
