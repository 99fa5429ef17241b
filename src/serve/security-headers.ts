/**
 * Headers that keep a browser from doing more with our own pages and answers than show them (promise P17): no script, no
 * frame, no form to elsewhere, no address handed on. Transport security is the word of the server in front, not ours.
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
