package example.clients;

import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.Status;
import example.erx.prescriptions.v1.CreatePrescriptionRequest;
import example.erx.prescriptions.v1.IssuePrescriptionRequest;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.stream.Collectors;

/** Asks for what cannot be, and reads why not from the details of the status (grpc-status-details-bin). */
final class Refusals {
    private final Connection connection;
    private final String id;

    Refusals(Connection connection, String id) {
        this.connection = connection;
        this.id = id;
    }

    void run() throws InvalidProtocolBufferException {
        var commands = connection.commands(Actor.PRESCRIBER);
        var issue = IssuePrescriptionRequest.newBuilder().setRequestId(Scenario.newId()).setPrescriptionId(id).build();
        var refused = refused(() -> commands.issuePrescription(issue));
        var info = detail(refused, ErrorInfo.class);
        System.out.printf("refused code=%s reason=%s domain=%s state=%s allowed=%s%n", codeOf(refused), info.getReason(),
                info.getDomain(), info.getMetadataOrThrow("state"), info.getMetadataOrThrow("allowed"));

        var broken = Content.of("").toBuilder().setRefillsAllowed(100);
        var create = CreatePrescriptionRequest.newBuilder().setRequestId("seven").setContent(broken).build();
        var invalid = refused(() -> commands.createPrescription(create));
        var violations = detail(invalid, BadRequest.class).getFieldViolationsList().stream()
                .map(violation -> violation.getField() + ":" + violation.getReason())
                .collect(Collectors.joining(","));
        System.out.printf("invalid code=%s reason=%s violations=%s%n", codeOf(invalid),
                detail(invalid, ErrorInfo.class).getReason(), violations);
    }

    private static Status refused(Runnable call) {
        try {
            call.run();
        } catch (StatusRuntimeException error) {
            return StatusProto.fromThrowable(error);
        }
        throw new IllegalStateException("what cannot be was not refused");
    }

    private static <T extends Message> T detail(Status status, Class<T> kind) throws InvalidProtocolBufferException {
        for (var detail : status.getDetailsList()) {
            if (detail.is(kind)) {
                return detail.unpack(kind);
            }
        }
        throw new IllegalStateException("no " + kind.getSimpleName() + " in " + status);
    }

    private static String codeOf(Status status) {
        return io.grpc.Status.fromCodeValue(status.getCode()).getCode().name();
    }
}
