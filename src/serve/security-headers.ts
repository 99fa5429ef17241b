/**
 * Headers that keep a browser from doing more with our own pages and answers than show them (P17, no injection): no script, no
 * frame, no form to elsewhere, no address handed on. Transport security is up to the server in front, not to this service.
 */
import helmet from 'koa-helmet';

export const securityHeaders = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: {
      defaultSrc: ["'none'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'"],
      formAction: ["'self'"],
      baseUri: ["'none'"],
      frameAncestors: ["'none'"],
    },
  },
  referrerPolicy: { policy: 'no-referrer' },
  strictTransportSecurity: false,
});
