package example.clients;

import com.google.protobuf.ByteString;
import example.erx.eventlog.v1.ConsistencyMode;
import example.erx.prescriptions.types.v1.PharmacyRef;
import example.erx.prescriptions.types.v1.SigningFactor;
import example.erx.prescriptions.v1.ClaimPrescriptionRequest;
import example.erx.prescriptions.v1.CreatePrescriptionRequest;
import example.erx.prescriptions.v1.DispenseMedicationRequest;
import example.erx.prescriptions.v1.FetchPrescriptionRequest;
import example.erx.prescriptions.v1.IssuePrescriptionRequest;
import example.erx.prescriptions.v1.Prescription;
import example.erx.prescriptions.v1.SignPrescriptionRequest;
import java.util.UUID;

/**
 * Drives one prescription through its life over gRPC and prints what it saw, one line for each step.
 *
 * <p>It is written as a client elsewhere would be: generated stubs, channels with a service config, tokens, a watch that goes on
 * after a cut, and errors decided by their reason. docs/clients.md says what each line means.
 */
public final class Scenario {
    private final Connection connection;
    private final String patient;
    private String id;

    private Scenario(Connection connection, String patient) {
        this.connection = connection;
        this.patient = patient;
    }

    public static void main(String[] arguments) throws Exception {
        try (var connection = Connection.to(Options.read(arguments))) {
            var scenario = new Scenario(connection, "patient-" + newId());
            scenario.write();
            scenario.fill();
            new Watching(connection, scenario.patient, scenario.id).run();
            new Refusals(connection, scenario.id).run();
            System.out.println("done");
        }
    }

    /** Drafts, signs and releases the prescription; the draft is sent twice under one request_id. */
    private void write() {
        var commands = connection.commands(Actor.PRESCRIBER);
        var create = CreatePrescriptionRequest.newBuilder().setRequestId(newId()).setContent(Content.of(patient)).build();
        var draft = commands.createPrescription(create);
        id = draft.getPrescription().getPrescriptionId();
        say("created", draft.getPrescription(), "id=" + id);
        var again = commands.createPrescription(create);
        say("repeated", again.getPrescription(), "same=" + draft.equals(again));
        var signed = commands.signPrescription(SignPrescriptionRequest.newBuilder()
                .setRequestId(newId())
                .setPrescriptionId(id)
                .setContentSha256(draft.getPrescription().getContentSha256())
                .setSignature(ByteString.copyFromUtf8("signed"))
                .setAlgorithm("ES256")
                .setCertificateId("cert-1")
                .addFactors(SigningFactor.SIGNING_FACTOR_KNOWLEDGE)
                .addFactors(SigningFactor.SIGNING_FACTOR_HARD_TOKEN)
                .build());
        say("signed", signed.getPrescription());
        var issue = IssuePrescriptionRequest.newBuilder().setRequestId(newId()).setPrescriptionId(id).build();
        say("issued", commands.issuePrescription(issue).getPrescription());
    }

    /** Claims and dispenses it, and reads each write at once by the token of its reply. */
    private void fill() {
        var commands = connection.commands(Actor.PHARMACY);
        var claimed = commands.claimPrescription(ClaimPrescriptionRequest.newBuilder()
                .setRequestId(newId())
                .setPrescriptionId(id)
                .setPharmacy(PharmacyRef.newBuilder().setNcpdpId("9900007").setNpi("1245319599").setName("Corner Pharmacy"))
                .build());
        say("claimed", claimed.getPrescription());
        read(ConsistencyMode.CONSISTENCY_MODE_OVERLAY, claimed.getToken());
        var dispensed = commands.dispenseMedication(DispenseMedicationRequest.newBuilder()
                .setRequestId(newId())
                .setPrescriptionId(id)
                .setClaimToken(claimed.getClaimToken())
                .setDispenseId(newId())
                .addProduct(Content.medication())
                .setQuantity(Content.tablets("30"))
                .setDaysSupply(15)
                .build());
        say("dispensed", dispensed.getPrescription());
        read(ConsistencyMode.CONSISTENCY_MODE_AT_LEAST, dispensed.getToken());
    }

    private void read(ConsistencyMode mode, ByteString token) {
        var shown = connection.queries().fetchPrescription(FetchPrescriptionRequest.newBuilder()
                .setPrescriptionId(id)
                .setToken(token)
                .setConsistency(mode)
                .build());
        var name = mode.name().replace("CONSISTENCY_MODE_", "");
        say("read", shown.getPrescription(), "mode=" + name, "reached=" + shown.getAsOf().getRequestedTokenReached());
    }

    /** Prints one step: its name, the version and status of the prescription, and what else there is. */
    static void say(String step, Prescription shown, String... more) {
        var status = shown.getStatus().name().replace("PRESCRIPTION_STATUS_", "");
        var words = String.join(" ", step, "version=" + shown.getVersion(), "status=" + status, String.join(" ", more));
        System.out.println(words.stripTrailing());
    }

    static String newId() {
        return UUID.randomUUID().toString();
    }
}
