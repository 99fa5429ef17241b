/** The peer of a redirect: an empty koa route, which answers as many bytes and asks nobody. */
import Koa from 'koa';

const app = new Koa();
app.use((ctx) => {
  ctx.status = 302;
  ctx.set('Location', '/elsewhere');
  ctx.body = '';
});
app.listen(Number(process.argv[2]), '127.0.0.1');
