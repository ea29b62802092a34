# Scoring, watching and serving on CPUs:
#   docker build --tag cavsync .
#   docker run --rm --volume "$PWD:/media:ro" cavsync score /media/video.mp4
#   docker run --rm --publish 8000:8000 --env CAVSYNC_TOKEN cavsync serve --host 0.0.0.0
FROM python:3.12-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/cavsync && /opt/cavsync/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve]'

FROM python:3.12-slim-bookworm
COPY --from=build /opt/cavsync /opt/cavsync
ENV PATH=/opt/cavsync/bin:$PATH
RUN useradd --create-home --uid 1000 scorer
USER 1000
WORKDIR /home/scorer
EXPOSE 8000
ENTRYPOINT ["cavsync"]
CMD ["--help"]
