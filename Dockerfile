# docker build -t keyward .
# docker run -p 127.0.0.1:8080:8080 -v keyward:/var/lib/keyward -e KEYWARD_PUBLIC_URL=https://keys.example.com keyward
# The line tables of the binary, for backtraces with files and lines: docker build --target debug --output . .
# Commands on the host: docker exec CONTAINER keyward admin …
# Probe /healthz (the process is alive) and /readyz (the node can verify requests).

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package keyward \
    && scripts/separate-debug target/release/keyward /out

FROM scratch AS debug
COPY --from=build /out/keyward.debug /

FROM debian:12-slim
RUN adduser --system --group --quiet --home /var/lib/keyward --uid 10001 keyward \
    && install -d -o keyward -g keyward -m 0700 /var/lib/keyward
COPY --from=build /out/keyward /usr/bin/keyward
USER keyward
WORKDIR /var/lib/keyward
VOLUME /var/lib/keyward
# All addresses of the container; serve refuses them unless KEYWARD_PUBLIC_URL is https:// or there is a certificate.
ENV KEYWARD_DATA=/var/lib/keyward KEYWARD_LISTEN=0.0.0.0:8080
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["keyward"]
CMD ["serve"]
